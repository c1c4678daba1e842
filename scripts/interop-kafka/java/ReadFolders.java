import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.FileLogInputStream.FileChannelRecordBatch;
import org.apache.kafka.common.record.FileRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.OffsetCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.BatchMetadata;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.OffsetIndex;
import org.apache.kafka.storage.internals.log.ProducerStateManager;
import org.apache.kafka.storage.internals.log.TimeIndex;
import org.apache.kafka.storage.internals.log.TransactionIndex;
import org.apache.kafka.storage.internals.log.UnifiedLog;

/**
 * Reads one data folder with Kafka's own classes and prints what it finds as JSON: the reference that other readers
 * are compared with. Arguments: the data folder. Reads only. Any byte string is base64; above LARGE it is its size and
 * SHA-256. Producer ids are strings, as JSON numbers lose them above 2^53.
 */
public final class ReadFolders {
    private static final int LARGE = 300;
    private static final LogDirFailureChannel FAILURES = new LogDirFailureChannel(1);

    public static void main(String[] arguments) throws Exception {
        File dataDir = new File(arguments[0]);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("metaProperties", new TreeMap<>(Utils.loadProps(new File(dataDir, "meta.properties").getPath())));
        Map<String, Object> checkpoints = new LinkedHashMap<>();
        for (String name : List.of("recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint", "cleaner-offset-checkpoint")) {
            File file = new File(dataDir, name);
            if (file.exists()) checkpoints.put(name, checkpoint(file));
        }
        out.put("checkpoints", checkpoints);
        Map<String, Object> partitions = new LinkedHashMap<>();
        for (File folder : sorted(dataDir.listFiles(File::isDirectory)))
            if (new File(folder, "partition.metadata").exists()) partitions.put(folder.getName(), partition(folder));
        out.put("partitions", partitions);
        new ObjectMapper().writeValue(System.out, out);
    }

    private static Map<String, Long> checkpoint(File file) throws IOException {
        Map<String, Long> offsets = new TreeMap<>();
        new OffsetCheckpointFile(file, FAILURES).read().forEach((partition, offset) -> offsets.put(partition.toString(), offset));
        return offsets;
    }

    private static Map<String, Object> partition(File folder) throws Exception {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("topicId", new PartitionMetadataFile(PartitionMetadataFile.newFile(folder), FAILURES).read().topicId().toString());
        List<List<Number>> epochs = new ArrayList<>();
        new LeaderEpochCheckpointFile(LeaderEpochCheckpointFile.newFile(folder), FAILURES).read()
            .forEach(entry -> epochs.add(List.of(entry.epoch, entry.startOffset)));
        out.put("leaderEpochs", epochs);
        List<Object> segments = new ArrayList<>();
        List<Object> snapshots = new ArrayList<>();
        for (File file : sorted(folder.listFiles())) {
            if (file.getName().endsWith(".log")) segments.add(segment(folder, file));
            if (file.getName().endsWith(".snapshot")) snapshots.add(snapshot(file));
        }
        out.put("segments", segments);
        out.put("snapshots", snapshots);
        return out;
    }

    private static Map<String, Object> segment(File folder, File logFile) throws Exception {
        long baseOffset = UnifiedLog.offsetFromFile(logFile);
        String stem = logFile.getName().substring(0, logFile.getName().length() - ".log".length());
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("baseOffset", baseOffset);
        out.put("sizeBytes", logFile.length());
        List<Object> batches = new ArrayList<>();
        try (FileRecords records = FileRecords.open(logFile, false)) {
            for (FileChannelRecordBatch batch : records.batches()) batches.add(batch(batch));
        }
        out.put("batches", batches);
        File indexFile = new File(folder, stem + ".index");
        if (indexFile.exists()) out.put("offsetIndex", offsetIndex(indexFile, baseOffset));
        File timeIndexFile = new File(folder, stem + ".timeindex");
        if (timeIndexFile.exists()) out.put("timeIndex", timeIndex(timeIndexFile, baseOffset));
        File transactionIndexFile = new File(folder, stem + ".txnindex");
        if (transactionIndexFile.exists()) out.put("abortedTransactions", abortedTransactions(transactionIndexFile, baseOffset));
        return out;
    }

    private static Map<String, Object> batch(FileChannelRecordBatch batch) throws Exception {
        batch.ensureValid();
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("position", batch.position());
        out.put("baseOffset", batch.baseOffset());
        out.put("lastOffset", batch.lastOffset());
        out.put("sizeBytes", batch.sizeInBytes());
        out.put("partitionLeaderEpoch", batch.partitionLeaderEpoch());
        out.put("crc", batch.checksum());
        out.put("compression", batch.compressionType().name);
        out.put("timestampType", batch.timestampType().name);
        out.put("maxTimestamp", batch.maxTimestamp());
        out.put("producerId", Long.toString(batch.producerId()));
        out.put("producerEpoch", batch.producerEpoch());
        out.put("baseSequence", batch.baseSequence());
        out.put("lastSequence", batch.lastSequence());
        out.put("isTransactional", batch.isTransactional());
        out.put("isControl", batch.isControlBatch());
        if (batch.deleteHorizonMs().isPresent()) out.put("deleteHorizonMs", batch.deleteHorizonMs().getAsLong());
        out.put("recordsCount", batch.countOrNull());
        List<Object> records = new ArrayList<>();
        for (Record record : batch) records.add(record(record));
        out.put("records", records);
        return out;
    }

    private static Map<String, Object> record(Record record) throws Exception {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("offset", record.offset());
        out.put("timestamp", record.timestamp());
        out.put("key", bytes(record.key()));
        out.put("value", bytes(record.value()));
        List<Object> headers = new ArrayList<>();
        for (Header header : record.headers())
            headers.add(Arrays.asList(header.key(), bytes(header.value() == null ? null : ByteBuffer.wrap(header.value()))));
        out.put("headers", headers);
        return out;
    }

    private static Object bytes(ByteBuffer buffer) throws Exception {
        if (buffer == null) return null;
        byte[] bytes = Utils.readBytes(buffer);
        if (bytes.length <= LARGE) return Base64.getEncoder().encodeToString(bytes);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("sizeBytes", bytes.length);
        out.put("sha256", Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-256").digest(bytes)));
        return out;
    }

    private static List<List<Number>> offsetIndex(File file, long baseOffset) throws IOException {
        List<List<Number>> entries = new ArrayList<>();
        try (OffsetIndex index = new OffsetIndex(file, baseOffset, -1, false)) {
            index.sanityCheck();
            for (int i = 0; i < index.entries(); i++) entries.add(List.of(index.entry(i).offset, index.entry(i).position));
        }
        return entries;
    }

    private static List<List<Number>> timeIndex(File file, long baseOffset) throws IOException {
        List<List<Number>> entries = new ArrayList<>();
        try (TimeIndex index = new TimeIndex(file, baseOffset, -1, false)) {
            index.sanityCheck();
            for (int i = 0; i < index.entries(); i++) entries.add(List.of(index.entry(i).timestamp, index.entry(i).offset));
        }
        return entries;
    }

    private static List<Object> abortedTransactions(File file, long baseOffset) throws IOException {
        List<Object> entries = new ArrayList<>();
        try (TransactionIndex index = new TransactionIndex(baseOffset, file)) {
            index.sanityCheck();
            index.allAbortedTxns().forEach(aborted -> {
                Map<String, Object> entry = new LinkedHashMap<>();
                entry.put("producerId", Long.toString(aborted.producerId()));
                entry.put("firstOffset", aborted.firstOffset());
                entry.put("lastOffset", aborted.lastOffset());
                entry.put("lastStableOffset", aborted.lastStableOffset());
                entries.add(entry);
            });
        }
        return entries;
    }

    private static Map<String, Object> snapshot(File file) throws IOException {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("offset", UnifiedLog.offsetFromFile(file));
        List<Object> rows = new ArrayList<>();
        ProducerStateManager.readSnapshot(file).forEach(entry -> {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("producerId", Long.toString(entry.producerId()));
            row.put("producerEpoch", entry.producerEpoch());
            row.put("coordinatorEpoch", entry.coordinatorEpoch());
            row.put("lastTimestamp", entry.lastTimestamp());
            row.put("currentTxnFirstOffset", entry.currentTxnFirstOffset().orElse(-1));
            // A row of a producer that has only control batches in the log has no batch of its own.
            BatchMetadata last = entry.isEmpty() ? null : entry.batchMetadata().iterator().next();
            row.put("lastSequence", last == null ? -1 : last.lastSeq);
            row.put("lastOffset", last == null ? -1 : last.lastOffset);
            row.put("offsetDelta", last == null ? 0 : last.offsetDelta);
            rows.add(row);
        });
        out.put("producers", rows);
        return out;
    }

    private static File[] sorted(File[] files) {
        Arrays.sort(files);
        return files;
    }
}
