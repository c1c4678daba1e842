// The listening end of one connection between brokers: first a proof that the other side is of the cluster, then its requests, answered in
// any order. Nothing that comes can throw out of here: whatever cannot be read closes the connection with a code that says so.

import { AssertionError } from "../../assert.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Random } from "../random.ts";
import { MessageAssembly } from "./message-assembly.ts";
import {
  decodeMessage,
  decodePiece,
  type EncodedMessage,
  emptyMessage,
  encodeMessage,
  frameHeaderBytes,
  handshakeMessage,
  MalformedFrameError,
  type Piece,
} from "./peer-frames.ts";
import { nonceBytes, openHello, peerVersion, sealWelcome } from "./peer-hello.ts";
import {
  answerBytesQueuedMax,
  closeMsMax,
  helloBytesMax,
  helloMsMax,
  messageBytesMax,
  type PeerCloseReason,
  peerCloseCodes,
  pieceBytesMax,
  requestsInFlightMax,
} from "./peer-limits.ts";
import { refusalHead } from "./peer-refusal.ts";
import type { PeerSocket, PeerSocketHandler } from "./peer-socket.ts";
import type { PeerHandler, PeerIdentity, PeerMessage } from "./peers.ts";
import { PieceSender } from "./piece-sender.ts";
import { SignsOfLife } from "./signs-of-life.ts";

/** What a broker is to the others that connect to it. */
export interface PeerServing {
  readonly identity: PeerIdentity;
  readonly handler: PeerHandler;
  /** "" when none is configured: then only brokers on the same machine are taken. */
  readonly secret: string;
}

export interface PeerSessionContext extends PeerServing {
  readonly clock: Clock;
  readonly random: Random;
  /** The largest frame that comes through here. */
  readonly frameBytesMax: number;
  /** The other side has shown who it is; false: there is no room for it. */
  admit(session: PeerSession): boolean;
  ended(session: PeerSession): void;
  /** A request met something that is no BrokerError. */
  bug(error: unknown): void;
}

export class PeerSession implements PeerSocketHandler {
  readonly #context: PeerSessionContext;
  readonly #socket: PeerSocket;
  readonly #sender: PieceSender;
  readonly #nonce: Uint8Array;
  readonly #assembly = new MessageAssembly();
  readonly #running = new Map<number, AbortController>();
  #peer: PeerIdentity | undefined;
  #deadline: Timer;
  #signs: SignsOfLife | undefined;
  #draining = false;
  #closing = false;

  constructor(context: PeerSessionContext, socket: PeerSocket) {
    this.#context = context;
    this.#socket = socket;
    this.#sender = new PieceSender(socket, pieceBytesMax + frameHeaderBytes);
    this.#nonce = context.random.bytes(nonceBytes);
    this.#deadline = context.clock.setTimer(helloMsMax, () => this.fail("silent"));
    this.#sender.send(handshakeMessage("challenge", this.#nonce));
  }

  /** Who it is; undefined until it has shown that. */
  get peer(): PeerIdentity | undefined {
    return this.#peer;
  }

  opened(): void {}

  message(bytes: Uint8Array): void {
    if (this.#closing) return;
    try {
      if (this.#peer === undefined) this.#greeted(bytes);
      else this.#piece(decodePiece(bytes));
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.fail("malformed");
    }
  }

  written(): void {
    this.#sender.pump();
    this.#endIfDrained();
  }

  closed(): void {
    this.#stop();
    this.#deadline.cancel();
    this.#context.ended(this);
  }

  /** New requests are refused, those that run are answered, then the connection closes. */
  drain(): void {
    this.#draining = true;
    this.#endIfDrained();
  }

  /** What runs is aborted; its answers are not sent. */
  fail(reason: PeerCloseReason): void {
    if (this.#closing) return;
    this.#stop();
    const { code, reason: text } = peerCloseCodes[reason];
    this.#socket.close(code, text);
    this.#deadline = this.#context.clock.setTimer(closeMsMax, () => this.#socket.terminate());
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #greeted(frame: Uint8Array): void {
    if (frame.length > helloBytesMax) throw new MalformedFrameError("a long hello");
    const piece = decodePiece(frame);
    if (piece.kind !== "hello" || piece.bytes.length !== piece.totalBytes) throw new MalformedFrameError("no hello");
    const { identity, secret, frameBytesMax } = this.#context;
    const opened = openHello(secret, this.#nonce, piece.bytes);
    if (opened === undefined) {
      this.fail("unauthenticated");
      return;
    }
    const { hello, nonces } = opened;
    if (hello.clusterId !== identity.clusterId || hello.version !== peerVersion || hello.to !== identity.brokerId) {
      this.fail("otherCluster");
      return;
    }
    const { clusterId, brokerId, incarnation } = hello;
    this.#peer = { clusterId, brokerId, incarnation };
    if (!this.#context.admit(this)) {
      this.fail("overloaded");
      return;
    }
    this.#deadline.cancel();
    this.#signs = new SignsOfLife(
      this.#context.clock,
      () => {},
      () => this.fail("silent"),
    );
    this.#send(
      handshakeMessage("welcome", sealWelcome(secret, nonces, { ...identity, version: peerVersion, frameBytesMax })),
    );
  }

  #piece(piece: Piece): void {
    this.#signs?.heard();
    switch (piece.kind) {
      case "request":
        this.#requestPiece(piece);
        return;
      case "cancel":
        this.#assembly.drop(piece.id);
        this.#running.get(piece.id)?.abort();
        this.#running.delete(piece.id);
        // The other side takes no more of the answer either.
        this.#sender.withdraw(piece.id);
        return;
      case "ping":
        this.#send(emptyMessage("pong", piece.id));
        return;
      default:
        throw new MalformedFrameError(`a ${piece.kind} from a peer that asks`);
    }
  }

  #requestPiece(piece: Piece): void {
    const { id } = piece;
    if (this.#running.has(id)) throw new MalformedFrameError(`request ${id} comes twice`);
    const whole = this.#assembly.add(piece);
    if (whole === undefined) return;
    if (this.#running.size >= requestsInFlightMax) {
      this.fail("overloaded");
      return;
    }
    const { head, parts } = decodeMessage(piece.headBytes, whole);
    const { method, timeoutMs, head: asked } = (head ?? {}) as Partial<Record<string, unknown>>;
    if (typeof method !== "string" || typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
      throw new MalformedFrameError("a request without method and time-out");
    }
    void this.#run(id, method, timeoutMs, { head: asked, parts });
  }

  async #run(id: number, method: string, timeoutMs: number, message: PeerMessage): Promise<void> {
    const aborting = new AbortController();
    this.#running.set(id, aborting);
    const answer = await this.#answer(id, method, timeoutMs, message, aborting.signal);
    // Given up meanwhile: the id may be another request's by now.
    if (this.#running.get(id) !== aborting) return;
    this.#running.delete(id);
    this.#send(answer);
    this.#endIfDrained();
  }

  async #answer(
    id: number,
    method: string,
    timeoutMs: number,
    message: PeerMessage,
    signal: AbortSignal,
  ): Promise<EncodedMessage> {
    try {
      if (this.#draining) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
      const from = this.#peer!;
      const reply = encodeMessage(
        "reply",
        id,
        await this.#context.handler.handle({ ...message, from, method, timeoutMs, signal }),
      );
      if (reply.totalBytes <= messageBytesMax) return reply;
      throw new AssertionError(`an answer to ${method} of ${reply.totalBytes} bytes`);
    } catch (error) {
      return encodeMessage("refusal", id, { head: refusalHead(this.#asBrokerError(error)), parts: [] });
    }
  }

  #asBrokerError(error: unknown): BrokerError {
    if (error instanceof BrokerError) return error;
    this.#context.bug(error);
    return new BrokerError("UNKNOWN_SERVER_ERROR", "the other broker met a bug", { maybeAppended: true });
  }

  #send(message: EncodedMessage): void {
    if (this.#closing) return;
    this.#sender.send(message);
    if (this.#sender.queuedBytes > answerBytesQueuedMax) this.fail("unread");
  }

  #endIfDrained(): void {
    if (this.#draining && this.#running.size === 0 && this.#sender.isEmpty) this.fail("restarting");
  }

  #stop(): void {
    this.#closing = true;
    this.#deadline.cancel();
    this.#signs?.stop();
    for (const aborting of this.#running.values()) aborting.abort();
    this.#running.clear();
  }
}
