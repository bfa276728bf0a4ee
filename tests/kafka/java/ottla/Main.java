package ottla;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Holds the directories in one folder, each of a kind, against Apache Kafka. See tests/kafka/main.rs. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Path work = Path.of(arguments[0]);
        Findings findings = new Findings();
        List<Path> kinds;
        try (Stream<Path> children = Files.list(work)) {
            kinds = children.filter(path -> Files.exists(path.resolve("records"))).sorted().toList();
        }
        if (kinds.isEmpty()) throw new IllegalArgumentException("there is nothing in " + work);
        for (Path kind : kinds) new DirectoryCheck(kind, findings).run();
        new Adoption(work, kinds, findings).run();
        if (findings.count() > 0) {
            System.out.println(findings.count() + " findings");
            System.exit(1);
        }
        System.exit(0);
    }
}
