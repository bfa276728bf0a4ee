package ottla;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.storage.internals.checkpoint.OffsetCheckpointFile;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.UnifiedLog;

/** A broker takes over what ottla exported, serves it, goes on with it, and hands it back. The steps are those of docs/kafka.md. */
final class Adoption {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final int APPENDED_BY_CODEC = 4;
    private static final int SOUGHT = 25;
    /** What a broker has to say about logs that it does not like; of a slow machine it complains elsewhere. */
    private static final Pattern COMPLAINT = Pattern.compile("(WARN|ERROR) .*(internals\\.(log|epoch|checkpoint)|kafka\\.log|LogManager|Partition)|stray");

    private final Path work;
    private final List<Path> kinds;
    private final Findings findings;
    private final Map<TopicPartition, Path> exported = new HashMap<>();
    /** What was written, and what the broker gave to a consumer. */
    private final SortedMap<Lines.Place, String> written = new TreeMap<>();
    private SortedMap<Lines.Place, String> served;

    Adoption(Path work, List<Path> kinds, Findings findings) {
        this.work = work;
        this.kinds = kinds;
        this.findings = findings;
    }

    void run() throws Exception {
        for (Path kind : kinds) {
            for (File partition : kind.resolve("exported").toFile().listFiles(File::isDirectory)) {
                exported.put(UnifiedLog.parseTopicPartitionName(partition), partition.toPath());
            }
            written.putAll(Lines.read(kind.resolve("records")));
        }
        try (Broker broker = new Broker(work.resolve("broker"))) {
            broker.start("first.out");
            createTopics(broker);
            broker.stop("first.out");
            place(broker.logDir);
            broker.start("second.out");
            served = consume(broker);
            Lines.compare("what the broker serves", written, served, true, findings);
            look(broker);
            int appended = append(broker);
            served = consume(broker);
            Lines.compare("what the broker serves in the end", written, served, true, findings);
            for (String line : broker.stop("second.out")) {
                if (COMPLAINT.matcher(line).find()) findings.add("the broker", line);
            }
            findings.check(Files.exists(broker.logDir.resolve(".kafka_cleanshutdown")), "the broker", "it was not closed cleanly");
            System.out.printf("adopted by a broker: partitions: %d, records: %d, appended: %d%n", exported.size(), served.size() - appended, appended);
        }
        Lines.write(work.resolve("served"), served);
    }

    private void createTopics(Broker broker) throws Exception {
        Map<String, Integer> partitions = new HashMap<>();
        exported.keySet().forEach(partition -> partitions.merge(partition.topic(), 1, Integer::sum));
        Map<String, String> config = Map.of("retention.ms", "-1");
        List<NewTopic> topics = new ArrayList<>();
        partitions.forEach((topic, count) -> topics.add(new NewTopic(topic, count, (short) 1).configs(config)));
        try (Admin admin = Admin.create(broker.client())) {
            admin.createTopics(topics).all().get();
        }
    }

    /** Puts the exported files in the place of the broker's empty ones. */
    private void place(Path logDir) throws Exception {
        Predicate<Path> isTaken = file -> !file.endsWith("partition.metadata");
        for (Map.Entry<TopicPartition, Path> each : exported.entrySet()) {
            Path into = logDir.resolve(each.getKey().toString());
            for (Path file : Folders.children(into)) {
                if (isTaken.test(file)) Files.delete(file);
            }
            Folders.copy(each.getValue(), into, isTaken);
        }
        for (String name : List.of("recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint")) {
            LogDirFailureChannel failures = new LogDirFailureChannel(1);
            OffsetCheckpointFile theirs = new OffsetCheckpointFile(logDir.resolve(name).toFile(), failures);
            Map<TopicPartition, Long> merged = new HashMap<>(theirs.read());
            for (Path kind : kinds) merged.putAll(new OffsetCheckpointFile(kind.resolve("exported").resolve(name).toFile(), failures).read());
            theirs.write(merged);
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Broker broker) {
        Map<String, Object> config = new HashMap<>(broker.client());
        config.put("enable.auto.commit", false);
        config.put("fetch.max.wait.ms", 10); // a seek waits for the fetch before it, which may be at the end
        config.put("auto.offset.reset", "none");
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Everything that a consumer is given. */
    private SortedMap<Lines.Place, String> consume(Broker broker) {
        SortedMap<Lines.Place, String> lines = new TreeMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(broker)) {
            Set<TopicPartition> partitions = exported.keySet();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, PATIENCE);
            long begun = System.nanoTime();
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    lines.put(place(record), Lines.line(record.timestamp(), record.key(), record.value(), record.headers()));
                }
                if (System.nanoTime() - begun > PATIENCE.toNanos()) {
                    findings.add("a consumer", "it does not come to the end");
                    break;
                }
            }
        }
        return lines;
    }

    private static Lines.Place place(ConsumerRecord<byte[], byte[]> record) {
        return new Lines.Place(record.topic(), record.partition(), record.offset());
    }

    /** Seeks to offsets, and looks times up, all over each partition: here the broker lives by our indexes. */
    private void look(Broker broker) {
        Map<TopicPartition, List<Map.Entry<Lines.Place, String>>> byPartition = new HashMap<>();
        written.entrySet().forEach(entry -> byPartition.computeIfAbsent(entry.getKey().topicPartition(), name -> new ArrayList<>()).add(entry));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(broker)) {
            byPartition.forEach((partition, entries) -> {
                consumer.assign(Set.of(partition));
                for (int i = 0; i < entries.size(); i += Math.max(1, entries.size() / SOUGHT)) {
                    long offset = entries.get(i).getKey().offset();
                    consumer.seek(partition, offset);
                    var records = consumer.poll(PATIENCE).records(partition);
                    boolean isThere = !records.isEmpty() && records.get(0).offset() == offset;
                    findings.check(isThere, partition, "a consumer that seeks offset " + offset + " does not get it");
                    long time = Lines.timestamp(entries.get(i).getValue());
                    long first = entries.stream().filter(entry -> Lines.timestamp(entry.getValue()) >= time).findFirst().orElseThrow().getKey().offset();
                    OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, time), PATIENCE).get(partition);
                    findings.check(found != null && found.offset() == first, partition, "the first record at or after " + time + " is " + found + ", not " + first);
                }
            });
        }
    }

    /** Appends to each partition, with each codec, and adds that to what was written. Answers how many records. */
    private int append(Broker broker) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Map<String, Object> config = new HashMap<>(broker.client());
            config.put("compression.type", codec);
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (TopicPartition partition : exported.keySet()) {
                    for (int i = 0; i < APPENDED_BY_CODEC; i++) {
                        byte[] value = i == 0 ? null : ("appended by Kafka, " + codec + ", ").repeat(i).getBytes(StandardCharsets.UTF_8);
                        byte[] key = i == 1 ? null : new byte[i];
                        RecordHeaders headers = new RecordHeaders();
                        if (i > 1) headers.add("codec", codec.getBytes(StandardCharsets.UTF_8)).add("null", null);
                        var record = new ProducerRecord<>(partition.topic(), partition.partition(), null, key, value, headers);
                        records.add(record);
                        sent.add(producer.send(record));
                    }
                }
            }
        }
        for (int i = 0; i < sent.size(); i++) {
            RecordMetadata to = sent.get(i).get();
            ProducerRecord<byte[], byte[]> record = records.get(i);
            String line = Lines.line(to.timestamp(), record.key(), record.value(), record.headers());
            written.put(new Lines.Place(to.topic(), to.partition(), to.offset()), line);
        }
        return sent.size();
    }
}
