// The limits between brokers, apart from those of clients; and what the numbers of a closing mean.

const KiB = 1024;
const MiB = 1024 * KiB;

/** Longer messages are cut up; between two pieces others get their turn. */
export const pieceBytesMax = 64 * KiB;
/** One request or answer, head and parts. */
export const messageBytesMax = 64 * MiB;
/** Messages of one connection that have begun to come and are not whole. */
export const assemblingBytesMax = 128 * MiB;
/** Up to here a message goes before those that are larger. */
export const smallMessageBytesMax = 16 * KiB;
/** What the socket is given before it has written; the rest waits where small messages can still go first. */
export const socketBufferedBytesMax = 256 * KiB;
/** Of requests to one peer that have no answer yet; more are refused as not sent. */
export const requestBytesInFlightMax = 128 * MiB;
/** Answers that wait for one peer to read; above this it is taken for stuck and the connection ends. */
export const answerBytesQueuedMax = 256 * MiB;
/** Requests of one peer without an answer, waiting ones included. */
export const requestsInFlightMax = 1_024;

/** Before a peer has shown who it is nothing longer is taken. */
export const helloBytesMax = 1 * KiB;
export const helloMsMax = 5_000;
/** A connection on which nothing came for so long is asked for a sign of life; after so many such spans in a row it is dead. */
export const keepaliveMs = 3_000;
export const silentSpansMax = 3;
/** Between tries to reach a peer; doubled from the first to the last, and each drawn from the half below it. */
export const reconnectMsMin = 50;
export const reconnectMsMax = 2_000;
/** How long the other side has to close. */
export const closeMsMax = 2_000;

/** Connections from peers: those that have shown who they are, and those that have not. */
export const peerSocketsMax = 256;
export const strangerSocketsMax = 32;

/** 4000 to 4499: come back; 4500 to 4999: something must be put right first. */
export const peerCloseCodes = {
  done: { code: 1000, reason: "no longer needed" },
  restarting: { code: 1012, reason: "the broker is shutting down" },
  bug: { code: 1011, reason: "the broker met a bug" },
  silent: { code: 4000, reason: "no sign of life" },
  unread: { code: 4001, reason: "answers were not read" },
  overloaded: { code: 4002, reason: "too many requests or connections at once" },
  replaced: { code: 4003, reason: "the same broker has connected again" },
  malformed: { code: 4500, reason: "a frame could not be read" },
  unauthenticated: { code: 4501, reason: "the cluster secret is not the same" },
  otherCluster: { code: 4502, reason: "of another cluster, version or broker" },
} as const;
export type PeerCloseReason = keyof typeof peerCloseCodes;
