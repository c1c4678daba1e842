// One WebSocket to one broker (docs/websocket.md): many calls and subscriptions on it, told apart by their ids. Whatever
// ends it, everything that waits on it hears so once.

import { problemError } from "./http-answer.ts";
import { MillraceError, type Problem } from "./millrace-error.ts";
import { unpackMsgpack } from "./msgpack-reader.ts";
import { packMsgpack } from "./msgpack-writer.ts";
import type { ClientClock, ClientTimer } from "./platform.ts";
import type { WebSocketLike } from "./web-socket.ts";

/** A frame from the broker. */
export interface Frame {
  readonly type: string;
  readonly id?: number;
  readonly [field: string]: unknown;
}

/** Hears all frames of one id, and once what ended it. */
export interface FrameListener {
  frame(frame: Frame): void;
  /** The connection is gone, and with it whatever this id stood for. */
  lost(error: MillraceError): void;
}

/** Without a frame for so long the broker is asked whether it is there; after as long again without an answer it is gone. */
const silenceMs = 20_000;
/** A connection that nobody uses is closed, so that it does not keep a process alive. */
const idleMs = 30_000;
/** Close codes from here on mean: do not come back. */
const finalCloseCode = 4500;

export class SocketConnection {
  readonly limits: Readonly<Record<string, number>>;
  /** Told once, when it can no longer be used; `forGood`: no other will do better. */
  onEnd: ((end: { readonly reconnectAfterMs: number; readonly forGood: boolean }) => void) | undefined;
  readonly #socket: WebSocketLike;
  readonly #clock: ClientClock;
  readonly #listeners = new Map<number, FrameListener>();
  #nextId = 1;
  #heardMs: number;
  #usedMs: number;
  #isAsked = false;
  #isOpen = true;
  #timer: ClientTimer;

  private constructor(socket: WebSocketLike, clock: ClientClock, limits: Readonly<Record<string, number>>) {
    this.#socket = socket;
    this.#clock = clock;
    this.limits = limits;
    this.#heardMs = clock.monotonicMs();
    this.#usedMs = this.#heardMs;
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code, reason }) =>
      this.#end(`the socket was closed with ${code} ${reason}`, 0, code >= finalCloseCode);
    this.#timer = clock.setTimer(silenceMs, () => this.#watch());
  }

  /** Resolves once the broker is ready for frames. */
  static open(
    socket: WebSocketLike,
    token: string | undefined,
    clock: ClientClock,
    timeoutMs: number,
  ): Promise<SocketConnection> {
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        timer.cancel();
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.onerror = () => {};
        socket.close();
        reject(new MillraceError("CONNECTION_FAILED", `no WebSocket: ${why}`, { retriable: true }));
      };
      const timer = clock.setTimer(timeoutMs, () => fail(`the broker was not ready within ${timeoutMs} ms`));
      socket.onopen = () => {
        if (token !== undefined) socket.send(packMsgpack({ type: "auth", token }) as Uint8Array<ArrayBuffer>);
      };
      socket.onerror = () => fail("the handshake failed");
      socket.onclose = ({ code }) => fail(`it was closed with ${code}`);
      socket.onmessage = ({ data }) => {
        const frame = parse(data);
        if (frame?.type !== "ready") {
          fail(frame === undefined ? "the first frame makes no sense" : `the first frame is ${frame.type}`);
          return;
        }
        timer.cancel();
        socket.onerror = () => {};
        resolve(new SocketConnection(socket, clock, (frame["limits"] ?? {}) as Readonly<Record<string, number>>));
      };
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sends a frame that is answered by one frame. Once it is sent, a broken connection leaves doubt. */
  call(frame: Readonly<Record<string, unknown>>): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const stop = this.listen(frame, {
        frame: (answer) => {
          stop();
          if (answer.type === "problem") reject(problemError(answer["problem"] as Problem));
          else resolve(answer);
        },
        lost: reject,
      });
    });
  }

  /** Sends a frame with an id of its own and hears what comes for it. Returns the way to stop listening. */
  listen(frame: Readonly<Record<string, unknown>>, listener: FrameListener): (() => void) & { readonly id: number } {
    const id = this.#nextId++;
    this.#usedMs = this.#clock.monotonicMs();
    if (this.#isOpen) {
      this.#listeners.set(id, listener);
      this.send({ ...frame, id });
    } else queueMicrotask(() => listener.lost(brokenError("the socket is closed", false)));
    return Object.assign(() => void this.#listeners.delete(id), { id });
  }

  /** Sends a frame that is not answered, or whose answer somebody hears already. */
  send(frame: Readonly<Record<string, unknown>>): void {
    if (this.#isOpen) this.#socket.send(packMsgpack(frame) as Uint8Array<ArrayBuffer>);
  }

  close(): void {
    this.#socket.close(1000);
    this.#end("the client closed the socket", 0, false);
  }

  #take(data: unknown): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#isAsked = false;
    const frame = parse(data);
    if (frame === undefined) {
      this.#socket.close(1002);
      this.#end("a frame makes no sense", 0, false);
    } else if (frame.type === "goaway") {
      this.#retire(Number(frame["reconnectAfterMs"] ?? 0));
    } else if (frame.id !== undefined) this.#listeners.get(frame.id)?.frame(frame);
  }

  /** What is on it may end; nothing new begins on it. */
  #retire(reconnectAfterMs: number): void {
    this.onEnd?.({ reconnectAfterMs, forGood: false });
    this.onEnd = undefined;
  }

  #watch(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#listeners.size === 0 && nowMs - this.#usedMs >= idleMs) {
      this.close();
      return;
    }
    const isSilent = nowMs - this.#heardMs >= silenceMs;
    if (isSilent && this.#isAsked) {
      this.#socket.close();
      this.#end("the broker is silent", 0, false);
      return;
    }
    if (isSilent) {
      this.#isAsked = true;
      this.send({ type: "ping", id: this.#nextId++ });
    }
    this.#timer = this.#clock.setTimer(silenceMs, () => this.#watch());
  }

  #end(why: string, reconnectAfterMs: number, forGood: boolean): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#timer.cancel();
    this.#socket.onmessage = this.#socket.onclose = null;
    this.onEnd?.({ reconnectAfterMs, forGood });
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of listeners) listener.lost(brokenError(why, true));
  }
}

const brokenError = (why: string, maybeAppended: boolean): MillraceError =>
  new MillraceError("CONNECTION_FAILED", `the WebSocket has ended: ${why}`, { retriable: true, maybeAppended });

/** A frame, if these bytes are one. */
function parse(data: unknown): Frame | undefined {
  if (!(data instanceof ArrayBuffer)) return undefined;
  try {
    const frame = unpackMsgpack(new Uint8Array(data)) as Frame | null;
    return typeof frame === "object" && typeof frame?.type === "string" ? frame : undefined;
  } catch {
    return undefined;
  }
}
