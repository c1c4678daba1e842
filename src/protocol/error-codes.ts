// Every code a client can meet, once. Kafka's names and numbers where Kafka has one (Apache Kafka, Errors.java),
// ours without a number. Statuses are for "not done"; a write in doubt is 504 whatever its code (docs/decisions/0001, 21).

interface ErrorCodeInfo {
  /** Kafka's number, if Kafka has this error. */
  readonly id?: number;
  /** True when trying again can succeed. */
  readonly retriable: boolean;
  readonly httpStatus: number;
  readonly title: string;
}

const table = {
  UNKNOWN_SERVER_ERROR: { id: -1, retriable: false, httpStatus: 500, title: "A bug in the broker" },
  OFFSET_OUT_OF_RANGE: { id: 1, retriable: false, httpStatus: 416, title: "The offset is not in the log" },
  CORRUPT_MESSAGE: { id: 2, retriable: false, httpStatus: 400, title: "The record batch is damaged" },
  UNKNOWN_TOPIC_OR_PARTITION: { id: 3, retriable: false, httpStatus: 404, title: "No such topic or partition" },
  NOT_LEADER_OR_FOLLOWER: { id: 6, retriable: true, httpStatus: 503, title: "The partition has no reachable leader" },
  REQUEST_TIMED_OUT: { id: 7, retriable: true, httpStatus: 504, title: "The time limit passed" },
  MESSAGE_TOO_LARGE: {
    id: 10,
    retriable: false,
    httpStatus: 413,
    title: "A record batch is larger than max.message.bytes",
  },
  OFFSET_METADATA_TOO_LARGE: {
    id: 12,
    retriable: false,
    httpStatus: 413,
    title: "The metadata of a commit is too large",
  },
  COORDINATOR_NOT_AVAILABLE: {
    id: 15,
    retriable: true,
    httpStatus: 503,
    title: "The group coordinator is not available",
  },
  INVALID_TOPIC_EXCEPTION: { id: 17, retriable: false, httpStatus: 400, title: "Not a legal topic" },
  RECORD_LIST_TOO_LARGE: { id: 18, retriable: false, httpStatus: 413, title: "The batch is larger than segment.bytes" },
  NOT_ENOUGH_REPLICAS: { id: 19, retriable: true, httpStatus: 503, title: "Too few in-sync replicas" },
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: {
    id: 20,
    retriable: true,
    httpStatus: 504,
    title: "Too few in-sync replicas, after the append",
  },
  UNKNOWN_MEMBER_ID: { id: 25, retriable: false, httpStatus: 409, title: "The group does not know this member" },
  INVALID_TIMESTAMP: { id: 32, retriable: false, httpStatus: 400, title: "A record's timestamp is out of bounds" },
  TOPIC_ALREADY_EXISTS: { id: 36, retriable: false, httpStatus: 409, title: "The topic exists and differs" },
  INVALID_PARTITIONS: { id: 37, retriable: false, httpStatus: 400, title: "Not a legal number of partitions" },
  INVALID_REPLICATION_FACTOR: { id: 38, retriable: true, httpStatus: 503, title: "Fewer brokers than replicas" },
  INVALID_CONFIG: { id: 40, retriable: false, httpStatus: 400, title: "Not a legal topic config" },
  INVALID_REQUEST: { id: 42, retriable: false, httpStatus: 400, title: "The request is malformed" },
  OUT_OF_ORDER_SEQUENCE_NUMBER: { id: 45, retriable: false, httpStatus: 409, title: "A producer sequence is missing" },
  INVALID_PRODUCER_EPOCH: { id: 47, retriable: false, httpStatus: 409, title: "A newer producer epoch is known" },
  KAFKA_STORAGE_ERROR: {
    id: 56,
    retriable: true,
    httpStatus: 503,
    title: "The partition's storage is offline or full",
  },
  NON_EMPTY_GROUP: { id: 68, retriable: false, httpStatus: 409, title: "The group has members" },
  GROUP_ID_NOT_FOUND: { id: 69, retriable: false, httpStatus: 404, title: "No such group" },
  UNSUPPORTED_COMPRESSION_TYPE: { id: 76, retriable: false, httpStatus: 400, title: "Unknown compression codec" },
  OFFSET_NOT_AVAILABLE: {
    id: 78,
    retriable: true,
    httpStatus: 503,
    title: "The leader is still catching up with its high watermark",
  },
  GROUP_MAX_SIZE_REACHED: {
    id: 81,
    retriable: true,
    httpStatus: 429,
    title: "The group has as many members as it may",
  },
  INVALID_RECORD: { id: 87, retriable: false, httpStatus: 400, title: "A record is not legal" },
  THROTTLING_QUOTA_EXCEEDED: { id: 89, retriable: true, httpStatus: 429, title: "Too much at once" },
  FENCED_MEMBER_EPOCH: { id: 110, retriable: false, httpStatus: 409, title: "The member epoch is not the present one" },
  UNRELEASED_INSTANCE_ID: {
    id: 111,
    retriable: true,
    httpStatus: 409,
    title: "Another member of the group has this instance id",
  },
  UNSUPPORTED_ASSIGNOR: { id: 112, retriable: false, httpStatus: 400, title: "No such assignor" },
  STALE_MEMBER_EPOCH: { id: 113, retriable: false, httpStatus: 409, title: "The member does not hold the partition" },

  BROKER_SHUTTING_DOWN: { retriable: true, httpStatus: 503, title: "The broker is shutting down" },
  EXPECTED_OFFSET_MISMATCH: { retriable: false, httpStatus: 412, title: "The log does not end at expectedOffset" },
  HOST_NOT_ALLOWED: { retriable: false, httpStatus: 403, title: "The Host header is not allowed" },
  IDEMPOTENCY_KEY_REUSED: {
    retriable: false,
    httpStatus: 409,
    title: "The Idempotency-Key was used for another request",
  },
  MALFORMED_BODY: { retriable: false, httpStatus: 400, title: "The body cannot be parsed" },
  METHOD_NOT_ALLOWED: { retriable: false, httpStatus: 405, title: "The route does not have this method" },
  NOT_ACCEPTABLE: { retriable: false, httpStatus: 406, title: "None of the accepted media types can be given" },
  ORIGIN_NOT_ALLOWED: { retriable: false, httpStatus: 403, title: "The Origin is not allowed" },
  PAYLOAD_TOO_LARGE: { retriable: false, httpStatus: 413, title: "The body is larger than the limit" },
  ROUTE_NOT_FOUND: { retriable: false, httpStatus: 404, title: "No such route" },
  UPGRADE_REQUIRED: { retriable: false, httpStatus: 426, title: "This route is a WebSocket" },
  UNSUPPORTED_MEDIA_TYPE: { retriable: false, httpStatus: 415, title: "The content type is not taken here" },
} as const satisfies Record<string, ErrorCodeInfo>;

export type ErrorCode = keyof typeof table;
export const errorCodes: Readonly<Record<ErrorCode, ErrorCodeInfo>> = table;

/**
 * A refusal that leaves the broker. `fields` go into the problem body as they are (expectedSequence, logEndOffset, limit, …).
 * A produce that may be in the log all the same says so with `maybeAppended: true`; without it the request surely did nothing.
 */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: ErrorCode;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly maybeAppended: boolean;
  constructor(
    code: ErrorCode,
    detail: string,
    options: { fields?: Readonly<Record<string, unknown>>; maybeAppended?: boolean; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? {};
    this.maybeAppended = options.maybeAppended ?? false;
  }
}
