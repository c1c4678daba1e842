// The dialling end of one connection between brokers: its handshake, the frames of requests and answers, and its signs of life. It knows
// nothing of who waits for the answers; when it ends, it has ended for good.

import type { Clock, Timer } from "../clock.ts";
import type { Random } from "../random.ts";
import { MessageAssembly } from "./message-assembly.ts";
import {
  decodeMessage,
  decodePiece,
  type EncodedMessage,
  emptyMessage,
  frameHeaderBytes,
  handshakeMessage,
  MalformedFrameError,
  type Piece,
} from "./peer-frames.ts";
import { type Nonces, nonceBytes, openWelcome, peerVersion, sealHello } from "./peer-hello.ts";
import {
  closeMsMax,
  helloBytesMax,
  helloMsMax,
  type PeerCloseReason,
  peerCloseCodes,
  pieceBytesMax,
} from "./peer-limits.ts";
import { refusalOf } from "./peer-refusal.ts";
import type { PeerDialer, PeerSocket, PeerSocketHandler } from "./peer-socket.ts";
import type { PeerIdentity, PeerMessage } from "./peers.ts";
import { PieceSender } from "./piece-sender.ts";
import { SignsOfLife } from "./signs-of-life.ts";

export interface PeerLinkContext {
  readonly dialer: PeerDialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: PeerIdentity;
  readonly secret: string;
}

export interface ConnectionListener {
  /** Requests may be sent. */
  ready(): void;
  /** False: nobody waits for it any more. */
  awaits(id: number): boolean;
  answered(id: number, message: PeerMessage): void;
  refused(id: number, error: Error): void;
  /** Once; no call comes after this. */
  ended(detail: string): void;
}

export class PeerConnection implements PeerSocketHandler {
  readonly #context: PeerLinkContext;
  readonly #to: number;
  readonly #listener: ConnectionListener;
  readonly #socket: PeerSocket;
  readonly #assembly = new MessageAssembly();
  #sender: PieceSender;
  #nonces: Nonces | undefined;
  #isReady = false;
  #hasEnded = false;
  #signs: SignsOfLife | undefined;
  #deadline: Timer;

  constructor(context: PeerLinkContext, to: number, origin: string, listener: ConnectionListener) {
    this.#context = context;
    this.#to = to;
    this.#listener = listener;
    this.#socket = context.dialer.dial(origin, this);
    this.#sender = new PieceSender(this.#socket, helloBytesMax);
    this.#deadline = context.clock.setTimer(helloMsMax, () => this.#fail("silent"));
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  send(message: EncodedMessage): void {
    this.#sender.send(message);
  }

  /** True: the other side cannot have acted on the request, and will not. */
  cancel(id: number): boolean {
    const withdrawn = this.#sender.withdraw(id);
    this.#assembly.drop(id);
    if (withdrawn?.begun !== false && this.#isReady) this.#sender.send(emptyMessage("cancel", id));
    return withdrawn !== undefined;
  }

  close(): void {
    this.#fail("done");
  }

  opened(): void {}

  message(bytes: Uint8Array): void {
    if (this.#hasEnded) return;
    try {
      const piece = decodePiece(bytes);
      if (this.#isReady) this.#piece(piece);
      else this.#handshake(piece);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.#fail("malformed");
    }
  }

  written(): void {
    this.#sender.pump();
  }

  closed(code: number, reason: string): void {
    this.#deadline.cancel();
    this.#end(`the connection was closed: ${code}${reason === "" ? "" : ` ${reason}`}`);
  }

  #handshake(piece: Piece): void {
    const { identity, secret, random, clock } = this.#context;
    if (piece.bytes.length !== piece.totalBytes) throw new MalformedFrameError("a handshake in pieces");
    if (this.#nonces === undefined) {
      if (piece.kind !== "challenge" || piece.totalBytes !== nonceBytes) throw new MalformedFrameError("no challenge");
      this.#nonces = { listener: piece.bytes, dialler: random.bytes(nonceBytes) };
      const hello = { ...identity, version: peerVersion, to: this.#to };
      this.#sender.send(handshakeMessage("hello", sealHello(secret, this.#nonces, hello)));
      return;
    }
    if (piece.kind !== "welcome") throw new MalformedFrameError("no welcome");
    const welcome = openWelcome(secret, this.#nonces, piece.bytes);
    if (welcome === undefined) {
      this.#fail("unauthenticated");
      return;
    }
    if (welcome.clusterId !== identity.clusterId || welcome.brokerId !== this.#to || welcome.version !== peerVersion) {
      this.#fail("otherCluster");
      return;
    }
    this.#deadline.cancel();
    this.#isReady = true;
    this.#sender = new PieceSender(this.#socket, Math.min(welcome.frameBytesMax, pieceBytesMax + frameHeaderBytes));
    this.#signs = new SignsOfLife(
      clock,
      () => this.#sender.send(emptyMessage("ping", 0)),
      () => this.#fail("silent"),
    );
    this.#listener.ready();
  }

  #piece(piece: Piece): void {
    this.#signs?.heard();
    const { kind, id } = piece;
    if (kind === "pong") return;
    if (kind !== "reply" && kind !== "refusal") throw new MalformedFrameError(`a ${kind} from a peer that answers`);
    if (!this.#listener.awaits(id)) return;
    const whole = this.#assembly.add(piece);
    if (whole === undefined) return;
    const message = decodeMessage(piece.headBytes, whole);
    if (kind === "reply") this.#listener.answered(id, message);
    else this.#listener.refused(id, refusalOf(message.head));
  }

  #fail(reason: PeerCloseReason): void {
    if (this.#hasEnded) return;
    const { code, reason: text } = peerCloseCodes[reason];
    this.#socket.close(code, text);
    this.#deadline.cancel();
    this.#deadline = this.#context.clock.setTimer(closeMsMax, () => this.#socket.terminate());
    this.#end(text);
  }

  #end(detail: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#isReady = false;
    this.#signs?.stop();
    this.#listener.ended(detail);
  }
}
