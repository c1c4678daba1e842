// The limits of the HTTP surface that no setting moves. What a setting moves is in src/config.ts.

/** Node itself stops counting at 2,000 and drops the rest in silence. */
export const requestHeadersMax = 100;
export const headerBytesMax = 16 * 1024;
/** Longer than any header block, so a long name reaches the name check instead of a router's own answer. */
export const pathParameterCharactersMax = 16 * 1024;
/** How long headers may take to arrive. */
export const headersTimeoutMs = 10_000;
export const connectionsCheckMs = 2_000;
export const keepAliveMs = 75_000;

/** A whole body may take so long, and so much longer for each MiB. */
export const bodyBaseMs = 30_000;
export const bodyMsPerMiB = 1_000;
/** After a refusal the rest of the body is read and thrown away so long, so that the client sees the answer and not a reset. */
export const drainMs = 5_000;

/** A line that was begun must end in this time; silence between lines is fine. */
export const ndjsonLineMs = 30_000;
/** A chunk of NDJSON is appended at this many lines, this many bytes or after this much silence. */
export const chunkLinesMax = 500;
export const chunkBytesMax = 256 * 1024;
export const chunkSilenceMs = 20;

export const pageRecordsDefault = 500;
export const pageBytesDefault = 1024 * 1024;

/** A stream is told from a dead one by a sign of life this often. */
export const streamSilenceMs = 15_000;
export const sseRetryMs = 2_000;
/** On shutdown clients are spread over this time. */
export const sseShutdownRetryMsMax = 5_000;

/** Pages below this are not worth compressing. */
export const gzipBytesMin = 1024;
/** A list's `limit` at most. */
export const listLimitMax = 10_000;

/** Of one call of a consumer group. */
export const maxTopicsPerMember = 1_000;
/** In each list of positions or partitions of one call. */
export const maxPositionsPerCall = 10_000;
export const sessionTimeoutMsMin = 1_000;
export const sessionTimeoutMsMax = 1_800_000;
export const rebalanceTimeoutMsMin = 1_000;
export const rebalanceTimeoutMsMax = 3_600_000;
/** Longer than any name that is taken, so that the name check answers; shorter than what nobody wants to see again in a problem. */
export const nameCharactersMax = 1_000;
