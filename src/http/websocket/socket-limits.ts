// The limits of a WebSocket, by the names a client meets them under; and what the numbers of its closing mean.

const KiB = 1024;
const MiB = 1024 * KiB;

export const idCharactersMax = 128;
/** Produces of one socket that are not answered yet, and the bytes of their frames. */
export const maxInFlight = 1_024;
export const maxInFlightBytes = 32 * MiB;
/** Open subscriptions of one socket, and the partitions of all of them together. */
export const maxSubscriptions = 1_000;
export const maxSubscribedPartitions = 10_000;
/** Un-acked records and bytes of one subscription. */
export const maxWindowRecords = 100_000;
export const maxWindowBytes = 64 * MiB;
export const groupWindowDefault = { records: 1_000, bytes: MiB } as const;

/** Above this a socket gets no more deliveries until it has read. One frame may go above it. */
export const socketBufferedBytesMax = 256 * KiB;
/** Deliveries go on below this. */
export const socketBufferedBytesLow = 64 * KiB;
/** Answers are not held back; a socket that asks without ever reading is closed at this. */
export const socketAnswerBytesMax = 8 * MiB;

/** A frame that has not ended counts against requestBytesInFlightMax from here on. */
export const unfinishedBytesMin = 64 * KiB;

/** Each costs far more memory than its bytes when they are few; more close the socket with 1008. */
export const messageFragmentsMax = 4_096;
export const bufferedChunksMax = 16_384;

/** What one read of a partition takes from the log; its first batch may be larger. */
export const rangeBytesMax = 128 * KiB;
/** Of one read, what its batches may inflate to before it is cut: in keys, values and headers, and in records. */
export const rangeInflatedBytesMax = MiB;
export const rangeRecordsMax = 5_000;
/** From here on the records of a delivery are not copied to stand behind their head, but follow it as a fragment of the same message. */
export const sharedBytesMin = 4 * KiB;

export const keepaliveMs = 15_000;
export const missedPongsMax = 2;
/** How long a closing socket has for its side of it. */
export const closeTimeoutMs = 5_000;
/** On shutdown clients are spread over this time. */
export const reconnectAfterMsMax = 5_000;
/** How long a partition that goes to another member waits for the acks of what was delivered. */
export const revokeDeadlineMs = 30_000;
/** A partition is assigned a moment before it can be read, when its topic is new. */
export const lookAgainMs = 200;
/** Between tries to reach a group's coordinator. */
export const groupRetryMsMin = 100;
export const groupRetryMsMax = 5_000;
/** A long wait for more of a partition; then it is asked for again. */
export const tailWaitMs = 55_000;

/** 4000 to 4499: come back; 4500 to 4999: don't. */
export const closeCodes = {
  restarting: { code: 1012, reason: "the broker is shutting down" },
  bug: { code: 1011, reason: "the broker met a bug" },
  silent: { code: 4000, reason: "two pings were not answered" },
  unread: { code: 4001, reason: "answers were not read" },
  overloaded: { code: 4002, reason: "too many bytes of frames are in flight" },
} as const;
export type CloseReason = keyof typeof closeCodes;

/** As `ready` and /v1/cluster say them. */
export const socketLimits = {
  maxInFlight,
  maxInFlightBytes,
  maxSubscriptions,
  maxSubscribedPartitions,
  maxWindowRecords,
  maxWindowBytes,
} as const;
