package ottla;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** Folders of plain files. */
final class Folders {
    private Folders() {}

    static List<Path> children(Path folder) throws IOException {
        try (Stream<Path> children = Files.list(folder)) {
            return children.sorted().toList();
        }
    }

    /** Copies the files that are wanted into a folder, which is made if it is not there. */
    static void copy(Path from, Path to, Predicate<Path> wanted) throws IOException {
        Files.createDirectories(to);
        for (Path file : children(from)) {
            if (wanted.test(file)) Files.copy(file, to.resolve(file.getFileName()));
        }
    }

    static void delete(Path folder) throws IOException {
        if (Files.isDirectory(folder)) {
            for (Path child : children(folder)) delete(child);
        }
        Files.delete(folder);
    }
}
