package ottla;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.record.internal.FileLogInputStream.FileChannelRecordBatch;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.OffsetCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.BatchMetadata;
import org.apache.kafka.storage.internals.log.EpochEntry;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.OffsetIndex;
import org.apache.kafka.storage.internals.log.OffsetPosition;
import org.apache.kafka.storage.internals.log.ProducerStateEntry;
import org.apache.kafka.storage.internals.log.ProducerStateManager;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.TimeIndex;
import org.apache.kafka.storage.internals.log.TimestampOffset;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;
import org.apache.kafka.tools.DumpLogSegments;

/** Every file under `log/` of a directory of ottla's, read with Kafka's own classes. */
final class DirectoryCheck {
    /** A line of its that names a fault. What is not: that the first offset of any segment but the first does not follow -1. */
    private static final Pattern OBJECTION =
            Pattern.compile("^ *(Index offset|Index timestamp|Indexed offset|\\d+ is followed by|Found \\d+ invalid bytes|[\\w.]+Exception)");

    private final Path kind;
    private final File logDir;
    private final Findings findings;
    /** Whether it was closed: then indexes, snapshots and checkpoints are what a broker leaves, else recovery makes them. */
    private final boolean isClosed;
    private final LogDirFailureChannel failures = new LogDirFailureChannel(1);
    private final SortedMap<Lines.Place, String> records = new TreeMap<>();
    private int batchesSeen;
    /** The batches of a partition that have a producer id. */
    private final List<RecordBatch> ofProducers = new ArrayList<>();
    private int segmentsSeen;

    DirectoryCheck(Path kind, Findings findings) {
        this.kind = kind;
        this.findings = findings;
        logDir = kind.resolve("data/log").toFile();
        isClosed = new File(logDir, ".kafka_cleanshutdown").exists();
    }

    void run() throws Exception {
        File[] partitions = logDir.listFiles(File::isDirectory);
        Map<TopicPartition, Long> recoveryPoints = checkpoint("recovery-point-offset-checkpoint");
        Map<TopicPartition, Long> logStarts = checkpoint("log-start-offset-checkpoint");
        for (File partition : partitions) {
            TopicPartition name = UnifiedLog.parseTopicPartitionName(partition);
            long logStart = logStarts.getOrDefault(name, 0L);
            long end = partition(partition, name);
            if (isClosed) findings.check(recoveryPoints.getOrDefault(name, -1L) == end, partition, "its recovery point is not its end, " + end);
            load(partition, name, logStart, end, true);
            load(partition, name, logStart, end, false);
        }
        if (isClosed) dump(partitions);
        Lines.compare(kind.toString(), Lines.read(kind.resolve("records")), records, isClosed, findings);
        System.out.printf(
                "%s: %s, read by Kafka's classes: partitions: %d, segments: %d, batches: %d, records: %d%n",
                kind.getFileName(), isClosed ? "closed" : "not closed", partitions.length, segmentsSeen, batchesSeen, records.size());
    }

    private Map<TopicPartition, Long> checkpoint(String name) throws IOException {
        File file = new File(logDir, name);
        if (isClosed) findings.check(file.exists(), file, "it is missing");
        return file.exists() ? new OffsetCheckpointFile(file, failures).read() : Map.of();
    }

    /** Answers the log end. */
    private long partition(File partition, TopicPartition name) throws Exception {
        Uuid id = new PartitionMetadataFile(PartitionMetadataFile.newFile(partition), failures).read().topicId();
        findings.check(!id.equals(Uuid.ZERO_UUID), partition, "it has no topic id");
        List<EpochEntry> epochs = new LeaderEpochCheckpointFile(LeaderEpochCheckpointFile.newFile(partition), failures).read();
        ofProducers.clear();
        long next = 0;
        for (File log : named(partition, ".log")) next = segment(log, name, next, epochs);
        List<File> snapshots = named(partition, ".snapshot");
        for (File snapshot : snapshots) {
            long below = UnifiedLog.offsetFromFile(snapshot);
            Map<Long, String> expected = new TreeMap<>(), stored = new TreeMap<>();
            for (RecordBatch batch : ofProducers) {
                int delta = Math.toIntExact(batch.lastOffset() - batch.baseOffset());
                BatchMetadata last = new BatchMetadata(batch.lastSequence(), batch.lastOffset(), delta, batch.maxTimestamp());
                if (batch.baseOffset() < below) expected.put(batch.producerId(), batch.producerEpoch() + " " + List.of(last));
            }
            for (ProducerStateEntry entry : ProducerStateManager.readSnapshot(snapshot)) {
                stored.put(entry.producerId(), entry.producerEpoch() + " " + List.copyOf(entry.batchMetadata()));
            }
            findings.check(stored.equals(expected), snapshot, "its producers are " + stored + ", and those of the batches are " + expected);
        }
        if (isClosed) {
            long end = next;
            findings.check(snapshots.stream().anyMatch(file -> UnifiedLog.offsetFromFile(file) == end), partition, "there is no snapshot at its end, " + end);
        }
        return next;
    }

    private static List<File> named(File partition, String suffix) {
        File[] files = partition.listFiles((dir, name) -> name.endsWith(suffix));
        return Stream.of(files).sorted().toList();
    }

    /** Answers the offset behind the last record. */
    private long segment(File log, TopicPartition name, long first, List<EpochEntry> epochs) throws Exception {
        long base = UnifiedLog.offsetFromFile(log);
        findings.check(base == first, log, "the segment before it ends at " + first);
        List<FileChannelRecordBatch> batches = new ArrayList<>();
        long next = base;
        try (FileRecords file = FileRecords.open(log, false)) {
            long end = 0;
            for (FileChannelRecordBatch batch : file.batches()) {
                batch.ensureValid();
                findings.check(batch.baseOffset() == next, log, "the batch at " + end + " begins at offset " + batch.baseOffset() + ", not " + next);
                findings.check(batch.partitionLeaderEpoch() == epochAt(epochs, batch.baseOffset()), log, "the batch at " + end + " has another leader epoch than the checkpoint");
                records(log, batch, name);
                batches.add(batch);
                if (batch.hasProducerId()) ofProducers.add(batch);
                next = batch.nextOffset();
                end += batch.sizeInBytes();
            }
            if (isClosed) findings.check(end == log.length(), log, (log.length() - end) + " bytes at its end are no batch");
            if (isClosed) indexes(log, base, batches);
        }
        segmentsSeen++;
        batchesSeen += batches.size();
        return next;
    }

    private static int epochAt(List<EpochEntry> epochs, long offset) {
        return epochs.stream().filter(entry -> entry.startOffset() <= offset).mapToInt(entry -> entry.epoch()).max().orElse(-1);
    }

    private void records(File log, RecordBatch batch, TopicPartition name) {
        long next = batch.baseOffset();
        long latest = RecordBatch.NO_TIMESTAMP;
        for (Record record : batch) {
            record.ensureValid();
            findings.check(record.offset() == next++, log, "a record has offset " + record.offset());
            latest = Math.max(latest, record.timestamp());
            String line = Lines.line(record.timestamp(), Lines.bytes(record.key()), Lines.bytes(record.value()), List.of(record.headers()));
            records.put(new Lines.Place(name, record.offset()), line);
        }
        findings.check(next == batch.nextOffset(), log, "the batch at offset " + batch.baseOffset() + " has other records than it says");
        findings.check(latest == batch.maxTimestamp(), log, "the batch at offset " + batch.baseOffset() + " has no record of its largest timestamp");
    }

    private void indexes(File log, long base, List<FileChannelRecordBatch> batches) throws IOException {
        File offsets = new File(log.getPath().replace(".log", ".index"));
        try (OffsetIndex index = new OffsetIndex(offsets, base, -1, false)) {
            index.sanityCheck();
            for (int i = 0; i < index.entries(); i++) {
                OffsetPosition entry = index.entry(i);
                boolean holds = batches.stream().anyMatch(batch -> batch.position() == entry.position() && batch.lastOffset() == entry.offset());
                findings.check(holds, offsets, "there is no batch for " + entry);
            }
        }
        File times = new File(log.getPath().replace(".log", ".timeindex"));
        long latest = batches.stream().mapToLong(RecordBatch::maxTimestamp).max().orElse(RecordBatch.NO_TIMESTAMP);
        try (TimeIndex index = new TimeIndex(times, base, -1, false)) {
            index.sanityCheck();
            long before = RecordBatch.NO_TIMESTAMP;
            for (int i = 0; i < index.entries(); i++) {
                TimestampOffset entry = index.entry(i);
                findings.check(entry.timestamp() > before, times, entry + " is not later than the one before it");
                before = entry.timestamp();
                // The first batch that is as late as that has to be the one.
                Optional<FileChannelRecordBatch> found = batches.stream().filter(batch -> batch.maxTimestamp() >= entry.timestamp()).findFirst();
                boolean holds = found.filter(batch -> batch.maxTimestamp() == entry.timestamp() && batch.lastOffset() == entry.offset()).isPresent();
                findings.check(holds, times, "the first batch that is so late is not that of " + entry);
            }
            findings.check(before == latest, times, "it ends with " + before + ", and the latest is " + latest);
        }
    }

    /** Has Kafka load a copy as it does after a clean shutdown, and as after another: nothing may be cut off. */
    private void load(File partition, TopicPartition name, long logStart, long end, boolean isClean) throws Exception {
        if (isClean && !isClosed) return;
        Path copy = Files.createTempDirectory("ottla-kafka").resolve(partition.getName());
        Folders.copy(partition.toPath(), copy, file -> true);
        Map<String, Long> sizes = sizes(copy);
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        try (UnifiedLog log = UnifiedLog.create(
                copy.toFile(), new LogConfig(Map.of()), logStart, isClean ? end : 0, scheduler, new BrokerTopicStats(), Time.SYSTEM, 900_000,
                new ProducerStateManagerConfig(900_000, false), 900_000, failures, isClean, Optional.empty())) {
            String how = isClean ? "opened as it was closed" : "recovered";
            findings.check(log.logStartOffset() == logStart, partition, how + ", it begins at " + log.logStartOffset() + ", not " + logStart);
            findings.check(log.logEndOffset() == end, partition, how + ", it ends at " + log.logEndOffset() + ", not " + end);
            if (isClosed) findings.check(sizes(copy).equals(sizes), partition, how + ", its segments are " + sizes(copy) + ", not " + sizes);
        } finally {
            scheduler.shutdown();
            Folders.delete(copy.getParent());
        }
    }

    private static Map<String, Long> sizes(Path partition) {
        return named(partition.toFile(), ".log").stream().collect(Collectors.toMap(File::getName, File::length));
    }

    /** What kafka-dump-log.sh objects to. */
    private void dump(File[] partitions) throws Exception {
        List<String> files = new ArrayList<>();
        for (File partition : partitions) {
            for (String suffix : List.of(".log", "index", ".snapshot")) named(partition, suffix).forEach(file -> files.add(file.getPath()));
        }
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream out = System.out;
        PrintStream err = System.err;
        try (PrintStream both = new PrintStream(said, true)) {
            System.setOut(both);
            System.setErr(both);
            DumpLogSegments.main(new String[] {
                "--deep-iteration", "--verify-index-only", "--max-message-size", String.valueOf(Integer.MAX_VALUE), "--files", String.join(",", files)
            });
        } catch (RuntimeException e) {
            findings.add(kind, "kafka-dump-log ends with " + e);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        said.toString().lines().filter(OBJECTION.asPredicate()).forEach(line -> findings.add(kind, "kafka-dump-log: " + line.strip()));
        findings.check(said.toString().contains("Dumping "), kind, "kafka-dump-log said nothing");
    }
}
