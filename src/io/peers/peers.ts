// How one broker asks another: the port. Requests and answers are a plain object and, beside it, parts: bytes of records that no
// encoder touches. For every call without an answer it is said whether the other broker can have carried it out.

export interface PeerMessage {
  /** Plain values alone: null, booleans, numbers, strings, bytes, arrays and objects of these. Integers within ±(2^53−1). */
  readonly head: unknown;
  /** Taken as they are and sent later: they must not change. Received ones are views of a larger buffer. */
  readonly parts: readonly Uint8Array[];
}

export interface PeerCallOptions {
  /** From the call to the whole answer; the other broker is told. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** "notSent": the other broker surely did nothing. "noAnswer": it may have carried the request out. */
export type PeerFailureKind = "notSent" | "noAnswer";

export class PeerFailure extends Error {
  override readonly name = "PeerFailure";
  readonly kind: PeerFailureKind;
  constructor(kind: PeerFailureKind, detail: string) {
    super(detail);
    this.kind = kind;
  }
}

export interface Peers {
  /**
   * Sends the request at most once. Rejects with PeerFailure, or with the BrokerError that the other broker answered: its code,
   * message, fields and maybeAppended.
   */
  request(brokerId: number, method: string, message: PeerMessage, options: PeerCallOptions): Promise<PeerMessage>;
  /** What is under way is rejected; nothing can be asked any more. */
  close(): Promise<void>;
}

/** Which broker, and which of its lives, is at the other end. */
export interface PeerIdentity {
  readonly clusterId: string;
  readonly brokerId: number;
  /** Another one after every start. */
  readonly incarnation: string;
}

export interface PeerRequest extends PeerMessage {
  readonly from: PeerIdentity;
  readonly method: string;
  /** How long the other side waits, from when it asked. */
  readonly timeoutMs: number;
  /** Aborted when nobody waits for the answer any more: given up over there, or the connection is gone. */
  readonly signal: AbortSignal;
}

export interface PeerHandler {
  /** A BrokerError is told as it is. Requests may overtake each other. */
  handle(request: PeerRequest): Promise<PeerMessage>;
}
