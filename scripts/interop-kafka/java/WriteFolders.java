import java.io.File;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Time;

/**
 * Runs a real one-node Kafka twice, on loopback, and leaves a data folder with a topic for each thing a reader of
 * Kafka's files has to cope with. Arguments: the data folder to make, a folder for what is not to be kept.
 */
public final class WriteFolders {
    /** "millrace-golden-" in base64: the same cluster id each time the folders are made anew. */
    private static final String CLUSTER_ID = "bWlsbHJhY2UtZ29sZGVuLQ";
    /** Producer timestamps count from here, so that they do not change from one making to the next. */
    private static final long EPOCH_MS = 1_700_000_000_000L;
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final long WAIT_MAX_MS = 60_000;

    private final File dataDir;
    private final String address;

    private WriteFolders(File dataDir, String address) {
        this.dataDir = dataDir;
        this.address = address;
    }

    public static void main(String[] arguments) throws Exception {
        File dataDir = new File(arguments[0]).getAbsoluteFile();
        File scratch = new File(arguments[1]).getAbsoluteFile();
        String broker = "127.0.0.1:" + freePort();
        Properties properties = serverProperties(dataDir, scratch, broker, "127.0.0.1:" + freePort());
        File file = new File(scratch, "server.properties");
        try (var out = Files.newOutputStream(file.toPath())) {
            properties.store(out, null);
        }
        int code = kafka.tools.StorageTool.execute(
            new String[] {"format", "--cluster-id", CLUSTER_ID, "--config", file.getPath()}, System.err);
        if (code != 0) throw new IllegalStateException("format ended with " + code);
        WriteFolders folders = new WriteFolders(dataDir, broker);
        run(properties, folders::first);
        // The second run makes a second leader epoch in every partition.
        run(properties, folders::second);
    }

    private interface Work {
        void run() throws Exception;
    }

    private static void run(Properties properties, Work work) throws Exception {
        KafkaRaftServer server = new KafkaRaftServer(KafkaConfig.fromProps(properties, false), Time.SYSTEM);
        server.startup();
        try {
            work.run();
        } finally {
            server.shutdown();
            server.awaitShutdown();
        }
    }

    private static int freePort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    private static Properties serverProperties(File dataDir, File scratch, String broker, String controller) {
        Properties p = new Properties();
        p.put("node.id", "1");
        p.put("process.roles", "broker,controller");
        p.put("controller.quorum.voters", "1@" + controller);
        p.put("controller.listener.names", "CONTROLLER");
        p.put("listeners", "PLAINTEXT://" + broker + ",CONTROLLER://" + controller);
        p.put("advertised.listeners", "PLAINTEXT://" + broker);
        p.put("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
        p.put("log.dirs", dataDir.getPath());
        p.put("metadata.log.dir", new File(scratch, "metadata").getPath());
        p.put("auto.create.topics.enable", "false");
        p.put("offsets.topic.replication.factor", "1");
        p.put("transaction.state.log.replication.factor", "1");
        p.put("transaction.state.log.min.isr", "1");
        p.put("transaction.state.log.num.partitions", "1");
        p.put("transaction.max.timeout.ms", "900000");
        p.put("log.cleaner.backoff.ms", "200");
        p.put("log.cleaner.dedupe.buffer.size", "2097152");
        p.put("log.cleaner.io.buffer.size", "65536");
        p.put("log.retention.check.interval.ms", "500");
        p.put("log.initial.task.delay.ms", "500");
        return p;
    }

    private void first() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(
                topic("codecs", Map.of()),
                topic("edges", Map.of()),
                topic("producers", Map.of("internal.segment.bytes", "3000", "index.interval.bytes", "200")),
                topic("segments", Map.of("internal.segment.bytes", "2500", "index.interval.bytes", "256")),
                topic("append-time", Map.of("message.timestamp.type", "LogAppendTime", "index.interval.bytes", "100")),
                topic("compacted", Map.of(
                    "cleanup.policy", "compact", "internal.segment.bytes", "600", "min.cleanable.dirty.ratio", "0.01",
                    "index.interval.bytes", "100", "delete.retention.ms", "86400000")),
                topic("transactions", Map.of("index.interval.bytes", "100")),
                topic("untouched", Map.of())
            )).all().get();
            codecs();
            edges();
            producers(0);
            segments(0, 40);
            appendTime();
            compacted();
            transactions();
            admin.deleteRecords(Map.of(new TopicPartition("segments", 0), RecordsToDelete.beforeOffset(50))).all().get();
            waitFor("the first segment to be deleted", () -> !file("segments-0", "00000000000000000000.log").exists());
            waitFor("the file itself to be gone", () -> file("segments-0", ".").list((d, name) -> name.endsWith(".deleted")).length == 0);
            waitFor("the cleaner", this::cleaned);
        }
    }

    private void second() throws Exception {
        producers(20);
        segments(40, 12);
        try (Sender sender = new Sender(Map.of("compression.type", "zstd"))) {
            for (int i = 0; i < 3; i++) sender.send("codecs", EPOCH_MS + 5000 + i, "again", "second epoch " + i);
        }
        openTransaction();
    }

    private static NewTopic topic(String name, Map<String, String> configs) {
        Map<String, String> all = new java.util.HashMap<>(configs);
        all.put("retention.ms", "-1"); // the producer timestamps lie years back
        all.put("message.timestamp.after.max.ms", Long.toString(Long.MAX_VALUE));
        all.put("file.delete.delay.ms", "100");
        return new NewTopic(name, 1, (short) 1).configs(all);
    }

    /** A small batch and one of several compression blocks, with each codec. */
    private void codecs() throws Exception {
        for (String codec : CODECS) {
            try (Sender sender = new Sender(Map.of("enable.idempotence", "false", "compression.type", codec))) {
                for (int i = 0; i < 5; i++) sender.send("codecs", EPOCH_MS + i, codec + "-" + i, "the value number " + i + " of " + codec);
                sender.flush();
                if (codec.equals("none")) continue;
                // 150 KB, part of it such that it cannot be compressed: beyond snappy's 32 KB and lz4's 64 KB blocks.
                byte[] noise = new byte[1500];
                new Random(7).nextBytes(noise);
                byte[] large = new byte[150_000];
                for (int i = 0; i < large.length; i++) large[i] = i % 50_000 < noise.length ? noise[i % 50_000] : (byte) ('a' + i / 1000 % 26);
                sender.send("codecs", EPOCH_MS + 100, "large".getBytes(StandardCharsets.UTF_8), large);
            }
        }
    }

    private void edges() throws Exception {
        byte[] empty = {};
        byte[] binary = {0, (byte) 0xff, '\n', (byte) 0x80, '|', ' '};
        try (Sender sender = new Sender(Map.of("enable.idempotence", "false"))) {
            sender.send("edges", EPOCH_MS + 9, null, "null key".getBytes());
            sender.send("edges", EPOCH_MS + 3, "null value".getBytes(), null);
            sender.send("edges", EPOCH_MS + 3, (byte[]) null, null);
            sender.send("edges", EPOCH_MS + 12, empty, empty);
            sender.send("edges", EPOCH_MS - 100_000, binary, binary);
            var headers = new ProducerRecord<>("edges", 0, EPOCH_MS + 1, "headers".getBytes(), "v".getBytes());
            headers.headers().add("text", "x".getBytes()).add("null", null).add("empty", empty).add("", "empty key".getBytes())
                .add("text", "the same key again".getBytes()).add("schlüssel-鍵-🔑", binary);
            sender.send(headers);
            sender.flush();
            // Batches whose timestamps fall, and one at time 0.
            sender.send("edges", EPOCH_MS - 5_000, "earlier".getBytes(), "1".getBytes());
            sender.flush();
            sender.send("edges", 0, "zero".getBytes(), "2".getBytes());
            sender.flush();
            sender.send("edges", EPOCH_MS + 1_000_000_000_000L, "far".getBytes(), "3".getBytes());
            sender.send("edges", EPOCH_MS, "back".getBytes(), "4".getBytes());
        }
    }

    /** Three idempotent producers, taking turns, and one that is not: seven batches each, so more than the five that are remembered. */
    private void producers(int from) throws Exception {
        List<Sender> senders = new ArrayList<>();
        for (int i = 0; i < 3; i++) senders.add(new Sender(Map.of()));
        senders.add(new Sender(Map.of("enable.idempotence", "false")));
        try {
            for (int turn = from; turn < from + 7; turn++)
                for (int s = 0; s < senders.size(); s++) {
                    for (int i = 0; i <= (turn + s) % 3; i++) senders.get(s).send("producers", EPOCH_MS + 10 * turn + s, "p" + s, "turn " + turn + ", record " + i);
                    senders.get(s).flush();
                }
        } finally {
            for (Sender sender : senders) sender.close();
        }
    }

    /** One batch at a time, timestamps going up and down, over several segments. */
    private void segments(int from, int count) throws Exception {
        Random random = new Random(from);
        try (Sender sender = new Sender(Map.of("enable.idempotence", "false"))) {
            for (int i = from; i < from + count; i++) {
                for (int r = 0; r <= i % 4; r++) sender.send("segments", EPOCH_MS + 100 * i + random.nextInt(1000) - 500, "k" + i, "v".repeat(1 + random.nextInt(60)));
                sender.flush();
            }
        }
    }

    private void appendTime() throws Exception {
        for (String codec : CODECS)
            try (Sender sender = new Sender(Map.of("compression.type", codec))) {
                for (int i = 0; i < 3; i++) sender.send("append-time", EPOCH_MS + i, "k" + i, codec);
                sender.flush();
            }
    }

    /** Every record of the first producer is overwritten, so its last batch stays as an empty one; tombstones give a delete horizon. */
    private void compacted() throws Exception {
        try (Sender first = new Sender(Map.of())) {
            for (int i = 0; i < 4; i++) {
                first.send("compacted", EPOCH_MS + i, "k" + i % 3, "of the first producer");
                first.flush();
            }
        }
        try (Sender second = new Sender(Map.of())) {
            for (int i = 0; i < 30; i++) {
                second.send("compacted", EPOCH_MS + 10 + i, i % 5 == 3 ? "gone-" + i : "k" + i % 5, i % 5 == 3 ? null : "value " + i);
                second.send("compacted", EPOCH_MS + 10 + i, "only-" + i, "kept");
                second.flush();
            }
        }
    }

    /** The cleaner's checkpoint names the partition, and the first segment has lost records. */
    private boolean cleaned() throws Exception {
        Path checkpoint = dataDir.toPath().resolve("cleaner-offset-checkpoint");
        return Files.exists(checkpoint) && Files.readString(checkpoint).contains("compacted 0")
            && file("compacted-0", ".").list((d, name) -> name.endsWith(".deleted") || name.endsWith(".cleaned") || name.endsWith(".swap")).length == 0;
    }

    private void transactions() throws Exception {
        try (Sender one = new Sender(Map.of("transactional.id", "one")); Sender two = new Sender(Map.of("transactional.id", "two", "compression.type", "lz4"));
             Sender plain = new Sender(Map.of())) {
            one.producer.initTransactions();
            two.producer.initTransactions();
            one.producer.beginTransaction();
            one.send("transactions", EPOCH_MS, "one", "committed");
            one.flush();
            two.producer.beginTransaction();
            two.send("transactions", EPOCH_MS + 1, "two", "aborted, between the batches of one");
            two.flush();
            plain.send("transactions", EPOCH_MS + 2, "plain", "outside any transaction");
            plain.flush();
            one.send("transactions", EPOCH_MS + 3, "one", "committed too");
            one.producer.commitTransaction();
            two.send("transactions", EPOCH_MS + 4, "two", "aborted too");
            two.flush();
            two.producer.abortTransaction();
            two.producer.beginTransaction();
            two.send("transactions", EPOCH_MS + 5, "two", "committed at last");
            two.producer.commitTransaction();
        }
    }

    /** A transaction that is still open when the broker stops. */
    private void openTransaction() throws Exception {
        Sender sender = new Sender(Map.of("transactional.id", "open", "transaction.timeout.ms", "900000"));
        sender.producer.initTransactions();
        sender.producer.beginTransaction();
        sender.send("transactions", EPOCH_MS + 6, "open", "neither committed nor aborted");
        sender.flush();
        sender.producer.close(java.time.Duration.ZERO); // an orderly close would abort it
    }

    private File file(String folder, String name) {
        return new File(new File(dataDir, folder), name);
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void waitFor(String what, Condition condition) throws Exception {
        for (long end = System.currentTimeMillis() + WAIT_MAX_MS; !condition.holds(); TimeUnit.MILLISECONDS.sleep(100))
            if (System.currentTimeMillis() > end) throw new IllegalStateException("waited in vain for " + what);
    }

    /** A producer that batches until flush(). */
    private final class Sender implements AutoCloseable {
        final KafkaProducer<byte[], byte[]> producer;

        Sender(Map<String, Object> configs) {
            Map<String, Object> all = new java.util.HashMap<>(Map.of(
                "bootstrap.servers", address, "acks", "all", "linger.ms", "60000", "batch.size", "200000", "max.request.size", "2000000",
                "key.serializer", ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class));
            all.putAll(configs);
            producer = new KafkaProducer<>(all);
        }

        void send(String topic, long timestamp, String key, String value) {
            send(topic, timestamp, key.getBytes(StandardCharsets.UTF_8), value == null ? null : value.getBytes(StandardCharsets.UTF_8));
        }

        void send(String topic, long timestamp, byte[] key, byte[] value) {
            send(new ProducerRecord<>(topic, 0, timestamp, key, value));
        }

        void send(ProducerRecord<byte[], byte[]> record) {
            producer.send(record, (metadata, error) -> {
                if (error != null) {
                    error.printStackTrace();
                    System.exit(1);
                }
            });
        }

        void flush() {
            producer.flush();
        }

        @Override
        public void close() {
            producer.close();
        }
    }
}
