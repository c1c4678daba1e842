// Every metric once: name, type, labels and what it says. Code can only ask for what stands here, and the reference page is made
// from it. Base units, `_total` for counters, no label whose values a client can choose freely (topics exist by an operator's act).

interface MetricInfo {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
  /** Upper bounds of a histogram, rising. */
  readonly buckets?: readonly number[];
}

/** From a quarter of a millisecond, doubling; with 0.1 s as a bound of its own, where alerts like to stand. */
const seconds = [
  0.000256, 0.000512, 0.001024, 0.002048, 0.004096, 0.008192, 0.016384, 0.032768, 0.065536, 0.1, 0.131072, 0.262144,
  0.524288, 1.048576, 2.097152, 4.194304, 8.388608, 16.777216, 33.554432,
];
const powersOfTwo = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const bytes = [256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304];

const table = {
  millrace_build_info: { type: "gauge", labels: ["version", "node"], help: "Always 1; the labels say what runs." },
  millrace_requests_total: {
    type: "counter",
    labels: ["api", "code"],
    help: "HTTP requests answered, by operation and status.",
  },
  millrace_request_duration_seconds: {
    type: "histogram",
    labels: ["api"],
    buckets: seconds,
    help: "From the request's headers to the end of the answer, waiting included; streams are not counted.",
  },
  millrace_requests_in_flight: { type: "gauge", labels: [], help: "Requests whose answer has not ended." },
  millrace_request_bytes_in_flight: {
    type: "gauge",
    labels: [],
    help: "Bytes of request bodies held in memory; new ones are refused above requestBytesInFlightMax.",
  },
  millrace_streams: {
    type: "gauge",
    labels: ["format"],
    help: "Open streams by format (sse, ndjson, ndjson-produce).",
  },
  millrace_websocket_sockets: { type: "gauge", labels: ["subprotocol"], help: "Open WebSockets." },
  millrace_websocket_subscriptions: { type: "gauge", labels: [], help: "Open subscriptions of all WebSockets." },
  millrace_websocket_buffered_bytes: {
    type: "gauge",
    labels: [],
    help: "Bytes of frames that clients have not read yet, of all WebSockets.",
  },
  millrace_websocket_closes_total: {
    type: "counter",
    labels: ["reason"],
    help: "WebSockets that ended: by the broker (restarting, silent, unread, …) or with the other side's close code.",
  },
  millrace_records_produced_total: {
    type: "counter",
    labels: ["topic"],
    help: "Records appended by producers, duplicates not counted.",
  },
  millrace_bytes_total: {
    type: "counter",
    labels: ["topic", "direction"],
    help: "Bytes of record batches, direction in (appended) or out (fetched).",
  },
  millrace_duplicate_batches_total: {
    type: "counter",
    labels: [],
    help: "Batches of idempotent producers that were in the log already.",
  },
  millrace_sequence_errors_total: {
    type: "counter",
    labels: [],
    help: "Batches refused for a sequence gap or an old producer epoch.",
  },
  millrace_unwaited_records_refused_total: {
    type: "counter",
    labels: ["code"],
    help: "Records sent with acks 0 that were refused after their 202, by error code.",
  },
  millrace_log_append_seconds: {
    type: "histogram",
    labels: [],
    buckets: seconds,
    help: "One write of a group of batches to a segment.",
  },
  millrace_log_fsync_seconds: {
    type: "histogram",
    labels: [],
    buckets: seconds,
    help: "One sync of a segment.",
  },
  millrace_append_group_batches: {
    type: "histogram",
    labels: [],
    buckets: powersOfTwo,
    help: "Batches that shared one write and one sync.",
  },
  millrace_append_group_bytes: {
    type: "histogram",
    labels: [],
    buckets: bytes,
    help: "Bytes that shared one write and one sync.",
  },
  millrace_topics: { type: "gauge", labels: [], help: "Topics this broker knows." },
  millrace_partitions: { type: "gauge", labels: [], help: "Partitions this broker holds." },
  millrace_partitions_offline: {
    type: "gauge",
    labels: [],
    help: "Partitions that take no reads and writes until an operator acts: a failed write or sync, or corruption.",
  },
  millrace_disk_free_bytes: { type: "gauge", labels: [], help: "Free space on the filesystem of the data folder." },
  millrace_disk_total_bytes: { type: "gauge", labels: [], help: "Size of the filesystem of the data folder." },
  millrace_recovery_seconds: { type: "gauge", labels: [], help: "How long the last start took to recover the log." },
  millrace_truncated_bytes_total: {
    type: "counter",
    labels: [],
    help: "Bytes cut from the ends of segments as torn writes during recovery.",
  },
  millrace_compaction_bytes_total: {
    type: "counter",
    labels: ["stage"],
    help: "Bytes of the segments that compaction replaced, and of those it put in their place (stage before, after).",
  },
} as const satisfies Record<string, MetricInfo>;

export type MetricName = keyof typeof table;
export const catalogue: Readonly<Record<MetricName, MetricInfo>> = table;

type NamesOf<Type> = { [N in MetricName]: (typeof table)[N]["type"] extends Type ? N : never }[MetricName];
export type CounterName = NamesOf<"counter">;
export type GaugeName = NamesOf<"gauge">;
export type HistogramName = NamesOf<"histogram">;

/** Exactly the labels the catalogue gives this metric. */
export type LabelsOf<N extends MetricName> = Readonly<Record<(typeof table)[N]["labels"][number], string>>;
