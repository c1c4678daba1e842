// One watch on etcd: a stream that is opened again, at the next member, whenever it ends, is refused or falls silent, and goes on
// after the last revision told. Each revision is told whole and once, whatever pieces etcd sends it in.

import type { Timer } from "../io/clock.ts";
import type { HttpStream } from "../io/http-client.ts";
import type { EtcdClient } from "./etcd-client.ts";
import { type EtcdEvent, type EtcdHeader, type EtcdKeys, ForeignValueError, int64 } from "./etcd-json.ts";
import { refusalIn, refusalWith } from "./etcd-refusal.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { Watch, WatchEvent, WatchHandler } from "./metadata-store.ts";

export interface EtcdWatchLimits {
  /** A stream silent for this long is asked whether it lives… */
  readonly watchSilenceMsMax: number;
  /** …and given up when it says nothing for this long; so is one that does not begin. */
  readonly watchAnswerMsMax: number;
  /** The longest message: etcd cuts larger ones at its --max-request-bytes, but never within an event. */
  readonly watchMessageBytesMax: number;
}

interface WatchPlace {
  readonly client: EtcdClient;
  readonly keys: EtcdKeys;
  readonly limits: EtcdWatchLimits;
  /** Called once, when nothing more will come. */
  readonly ended: () => void;
}

interface WatchResult {
  readonly header?: EtcdHeader;
  /** "-1" in the answer to a question about progress. */
  readonly watch_id?: string;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly cancel_reason?: string;
  readonly compact_revision?: string;
  /** More of the same message follows. */
  readonly fragment?: boolean;
  readonly events?: readonly EtcdEvent[];
}

const pauseMsMax = 2_000;
/** A stream that lived so long was a good one: the next is opened without a pause. */
const goodStreamMs = 5_000;
/** So many failures in a row are told one by one, then each so many-th. */
const failuresTold = 20;

export class EtcdWatch implements Watch {
  readonly #client: EtcdClient;
  readonly #keys: EtcdKeys;
  readonly #prefix: string;
  readonly #handler: WatchHandler;
  readonly #limits: EtcdWatchLimits;
  readonly #ended: () => void;
  /** The first revision that was not told. */
  #nextRevision: number;
  /** Events of one revision, of which more may come. */
  #held: { readonly revision: number; readonly events: WatchEvent[] } | undefined;
  #stream: HttpStream | undefined;
  /** Counts streams: what belongs to an earlier one is ignored. */
  #streamNumber = 0;
  #timer: Timer | undefined;
  #failures = 0;
  #openedMs = 0;
  #heardMs = 0;
  /** Counts what was heard: a clock can stand still between a question and its answer. */
  #heard = 0;
  #isCreated = false;
  #isOver = false;

  constructor(place: WatchPlace, prefix: string, fromRevision: number, handler: WatchHandler) {
    this.#client = place.client;
    this.#keys = place.keys;
    this.#limits = place.limits;
    this.#ended = place.ended;
    this.#prefix = prefix;
    this.#nextRevision = fromRevision;
    this.#handler = handler;
    void this.#open();
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#drop();
    this.#ended();
  }

  /** Never rejects: whatever fails is tried again. */
  async #open(): Promise<void> {
    const number = ++this.#streamNumber;
    const origin = this.#client.endpoints.present;
    const isPresent = () => number === this.#streamNumber;
    this.#openedMs = this.#heardMs = this.#client.clock.monotonicMs();
    this.#isCreated = false;
    this.#timer = this.#client.clock.setTimer(this.#limits.watchAnswerMsMax, () =>
      this.#failed(origin, "the watch does not begin"),
    );
    let headers: Record<string, string>;
    try {
      headers = await this.#client.headers(origin);
    } catch (error) {
      if (isPresent()) this.#failed(origin, (error as Error).message);
      return;
    }
    if (!isPresent()) return;
    const lines = new LineSplitter(this.#limits.watchMessageBytesMax);
    let status = 0;
    const body = `${JSON.stringify(this.#createRequest())}\n`;
    this.#stream = this.#client.http.openStream(
      { origin, path: "/v3/watch", headers, body },
      {
        opened: (given) => {
          status = given;
        },
        bytes: (chunk) => {
          if (isPresent()) this.#guarded(origin, () => this.#received(origin, status, lines, chunk, isPresent));
        },
        ended: (failure) => {
          if (!isPresent()) return;
          if (failure || status === 200) this.#failed(origin, failure?.message ?? "etcd ended the stream");
          else this.#guarded(origin, () => this.#failed(origin, refusalWith(status, lines.rest()).message));
        },
      },
    );
  }

  /**
   * From one revision earlier than needed: a watch from exactly the revision of a compaction is taken, but a delete in that
   * revision is gone. This way it is told as compacted.
   */
  #createRequest(): object {
    const create = {
      key: this.#keys.encode(this.#prefix),
      range_end: this.#keys.endOf(this.#prefix),
      start_revision: `${Math.max(1, this.#nextRevision - 1)}`,
      progress_notify: true,
      fragment: true,
    };
    return { create_request: create };
  }

  #received(origin: string, status: number, lines: LineSplitter, chunk: Uint8Array, isPresent: () => boolean): void {
    this.#heardMs = this.#client.clock.monotonicMs();
    this.#heard++;
    for (const line of lines.push(chunk)) {
      if (status !== 200) throw refusalWith(status, line);
      const message = JSON.parse(line) as { result?: WatchResult };
      const refusal = refusalIn(message);
      if (refusal) throw refusal;
      if (message.result) this.#told(origin, message.result);
      if (!isPresent()) return;
    }
  }

  #told(origin: string, result: WatchResult): void {
    this.#client.checkCluster(result.header, origin);
    if (int64(result.compact_revision) > 0) {
      this.#compacted();
      return;
    }
    if (result.canceled) throw new Error(`etcd cancelled the watch: ${result.cancel_reason ?? "no reason given"}`);
    if (result.created && !this.#isCreated) {
      this.#isCreated = true;
      this.#listen(origin, this.#limits.watchSilenceMsMax);
    }
    const number = this.#streamNumber;
    for (const event of result.events ?? []) {
      this.#hold(event);
      if (number !== this.#streamNumber) return;
    }
    if (!result.fragment) this.#flush();
    // Only what the watch says by itself is in step with its events; the answer to a question can overtake them.
    if (!result.created && result.watch_id !== "-1" && !result.events?.length && number === this.#streamNumber)
      this.#nextRevision = Math.max(this.#nextRevision, int64(result.header?.revision) + 1);
  }

  #hold(event: EtcdEvent): void {
    const revision = int64(event.kv.mod_revision);
    if (this.#held && this.#held.revision !== revision) this.#flush();
    if (this.#isOver || revision < this.#nextRevision) return;
    this.#held ??= { revision, events: [] };
    try {
      this.#held.events.push(this.#keys.event(event));
    } catch (error) {
      if (!(error instanceof ForeignValueError)) throw error;
      this.#client.logger.error({ err: error }, "a metadata change was left out");
    }
  }

  /** Tells what is held: nothing more of its revision can come. */
  #flush(): void {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    this.#nextRevision = held.revision + 1;
    if (held.events.length > 0) this.#call(() => this.#handler.changed(held.events, held.revision));
  }

  #compacted(): void {
    this.cancel();
    this.#call(() => this.#handler.compacted());
  }

  /** Looks after `delayMs` whether anything was heard, asks if not, and gives up if that has no answer either. */
  #listen(origin: string, delayMs: number): void {
    const { watchSilenceMsMax, watchAnswerMsMax } = this.#limits;
    const { clock } = this.#client;
    this.#timer?.cancel();
    this.#timer = clock.setTimer(delayMs, () => {
      const silentMs = clock.monotonicMs() - this.#heardMs;
      if (silentMs < watchSilenceMsMax) {
        this.#listen(origin, watchSilenceMsMax - silentMs);
        return;
      }
      const heardBefore = this.#heard;
      this.#stream?.write(`${JSON.stringify({ progress_request: {} })}\n`);
      this.#timer = clock.setTimer(watchAnswerMsMax, () => {
        if (this.#heard === heardBefore) this.#failed(origin, "the watch is silent");
        else this.#listen(origin, Math.max(0, watchSilenceMsMax - (clock.monotonicMs() - this.#heardMs)));
      });
    });
  }

  #guarded(origin: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#failed(origin, (error as Error).message);
    }
  }

  /** Opens another stream, after a pause if this one was no good. */
  #failed(origin: string, reason: string): void {
    if (this.#isOver) return;
    this.#drop();
    this.#client.endpoints.failed(origin);
    this.#client.dropToken(); // a stream tells only in words that its token was refused
    const { clock, random, logger } = this.#client;
    const isGood = this.#isCreated && clock.monotonicMs() - this.#openedMs >= goodStreamMs;
    this.#failures = isGood ? 0 : this.#failures + 1;
    if (this.#failures <= failuresTold || this.#failures % failuresTold === 0)
      logger.warn(
        { origin, reason, prefix: this.#prefix, failures: this.#failures },
        "a metadata watch is opened again",
      );
    const pauseMs = this.#failures <= 1 ? 0 : Math.min(pauseMsMax, 25 * 2 ** this.#failures);
    this.#timer = clock.setTimer(pauseMs * (0.5 + random.fraction() / 2), () => void this.#open());
  }

  #drop(): void {
    this.#streamNumber++;
    this.#timer?.cancel();
    this.#stream?.close();
    this.#stream = undefined;
    this.#held = undefined;
  }

  /** A handler that throws is its own trouble: the watch goes on. */
  #call(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#client.logger.error({ err: error }, "a metadata watch handler threw");
    }
  }
}
