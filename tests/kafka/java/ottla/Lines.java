package ottla;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.Map;
import java.util.SortedMap;
import java.util.StringJoiner;
import java.util.TreeMap;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/** Records as lines of text: what tests/kafka/lines.rs is in Rust. */
final class Lines {
    /** Where a record is. */
    record Place(String topic, int partition, long offset) implements Comparable<Place> {
        private static final Comparator<Place> ORDER =
                Comparator.comparing(Place::topic).thenComparing(Place::partition).thenComparing(Place::offset);

        Place(TopicPartition partition, long offset) {
            this(partition.topic(), partition.partition(), offset);
        }

        TopicPartition topicPartition() {
            return new TopicPartition(topic, partition);
        }

        @Override
        public int compareTo(Place other) {
            return ORDER.compare(this, other);
        }
    }

    private Lines() {}

    static String line(long timestamp, byte[] key, byte[] value, Iterable<Header> headers) {
        StringJoiner joined = new StringJoiner(",");
        for (Header header : headers) {
            joined.add(hex(header.key().getBytes(StandardCharsets.UTF_8)) + ":" + hex(header.value()));
        }
        return timestamp + "\t" + hex(key) + "\t" + hex(value) + "\t" + joined;
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }

    static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null) return null;
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    static long timestamp(String line) {
        return Long.parseLong(line.substring(0, line.indexOf('\t')));
    }

    static SortedMap<Place, String> read(Path file) throws IOException {
        SortedMap<Place, String> lines = new TreeMap<>();
        for (String line : Files.readAllLines(file)) {
            String[] fields = line.split("\t", 4);
            lines.put(new Place(fields[0], Integer.parseInt(fields[1]), Long.parseLong(fields[2])), fields[3]);
        }
        return lines;
    }

    static void write(Path file, SortedMap<Place, String> lines) throws IOException {
        StringBuilder text = new StringBuilder();
        for (Map.Entry<Place, String> each : lines.entrySet()) {
            Place place = each.getKey();
            text.append(place.topic()).append('\t').append(place.partition()).append('\t').append(place.offset());
            text.append('\t').append(each.getValue()).append('\n');
        }
        Files.writeString(file, text);
    }

    /** Notes each line of `expected` that is not the same in `found`; with `all`, also each that is there besides. */
    static void compare(String where, SortedMap<Place, String> expected, SortedMap<Place, String> found, boolean all, Findings findings) {
        expected.forEach((place, line) -> {
            if (!line.equals(found.get(place))) findings.add(where, place + ": " + shorten(found.get(place)) + " in place of " + shorten(line));
        });
        if (!all) return;
        found.forEach((place, line) -> {
            if (!expected.containsKey(place)) findings.add(where, place + ": nobody wrote " + shorten(line));
        });
    }

    private static String shorten(String line) {
        return line == null || line.length() <= 80 ? line : line.substring(0, 80) + "...";
    }
}
