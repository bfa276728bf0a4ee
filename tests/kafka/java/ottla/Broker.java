package ottla;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.Uuid;

/** A broker that is its own controller, in a process of its own, on the loopback interface. */
final class Broker implements AutoCloseable {
    private static final int PATIENCE_SECONDS = 120;

    final Path logDir;
    private final Path home;
    private final Path config;
    private Process process;
    private String address;

    /** Formats its directories, all in `home`. */
    Broker(Path home) throws Exception {
        this.home = home;
        logDir = home.resolve("log");
        config = home.resolve("server.properties");
        Files.createDirectories(logDir);
        configure();
        Process format = launch("format.out", "kafka.tools.StorageTool", "format", "--cluster-id=" + Uuid.randomUuid(), "--config", config.toString());
        if (format.waitFor() != 0) throw new IOException(Files.readString(home.resolve("format.out")));
    }

    private void configure() throws IOException {
        try (ServerSocket first = freePort(); ServerSocket second = freePort()) {
            address = "127.0.0.1:" + first.getLocalPort();
            String controller = "127.0.0.1:" + second.getLocalPort();
            Files.write(config, List.of(
                    "process.roles=broker,controller",
                    "node.id=1",
                    "controller.quorum.voters=1@" + controller,
                    "controller.listener.names=CONTROLLER",
                    "listeners=PLAINTEXT://" + address + ",CONTROLLER://" + controller,
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    "log.dirs=" + logDir,
                    "metadata.log.dir=" + home.resolve("metadata"),
                    "auto.create.topics.enable=false",
                    "offsets.topic.num.partitions=1",
                    "offsets.topic.replication.factor=1",
                    "log.cleaner.dedupe.buffer.size=4194304"));
        }
    }

    private static ServerSocket freePort() throws IOException {
        return new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
    }

    private Process launch(String output, String... arguments) throws IOException {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        List<String> command = new ArrayList<>(List.of(java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path")));
        command.addAll(List.of(arguments));
        Process started = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(home.resolve(output).toFile()).start();
        // It never outlives this program.
        Runtime.getRuntime().addShutdownHook(new Thread(started::destroyForcibly));
        return started;
    }

    /** Starts it and waits until it answers. */
    void start(String output) throws Exception {
        process = launch(output, "kafka.Kafka", config.toString());
        Path said = home.resolve(output);
        long begun = System.nanoTime();
        while (!Files.readString(said).contains("Kafka Server started")) {
            boolean isLate = System.nanoTime() - begun > TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
            if (isLate || !process.isAlive()) throw new IOException("the broker did not start: " + Files.readString(said));
            TimeUnit.MILLISECONDS.sleep(100);
        }
        try (Admin admin = Admin.create(client())) {
            admin.describeCluster().nodes().get(PATIENCE_SECONDS, TimeUnit.SECONDS);
        }
    }

    Map<String, Object> client() {
        return Map.of("bootstrap.servers", address);
    }

    /** Stops it cleanly, and answers what it logged, a line each. */
    List<String> stop(String output) throws Exception {
        process.destroy();
        if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) throw new IOException("the broker did not stop");
        return Files.readAllLines(home.resolve(output));
    }

    @Override
    public void close() {
        if (process != null) process.destroyForcibly();
    }
}
