// Logs of groups in memory, whose appends and replays end when and as the test says.

import type { Change, GroupLogs, GroupRecordLog } from "../../src/consumer-groups/group-logs.ts";
import type { EncodedGroupRecord } from "../../src/consumer-groups/group-records.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";

/** One append on its way. */
export interface HeldAppend {
  readonly records: readonly EncodedGroupRecord[];
  commit(): void;
  /** `kept`: the records are in the log all the same, as when an answer is lost. */
  fail(error: unknown, kept?: boolean): void;
}

export class MemoryLog implements GroupRecordLog {
  readonly records: EncodedGroupRecord[] = [];
  /** Appends that wait for the test; while undefined they end at once. */
  held: HeldAppend[] | undefined;
  appends = 0;
  replays = 0;
  /** Each is the error of one of the next replays. */
  readonly replayErrors: unknown[] = [];

  async replay(take: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void> {
    this.replays += 1;
    await Promise.resolve();
    const error = this.replayErrors.shift();
    if (error !== undefined) throw error;
    for (const { key, value } of this.records) take(key, value);
  }

  append(changes: readonly Change[]): Promise<void> {
    this.appends += 1;
    const copy = changes.flat();
    if (!this.held) {
      this.records.push(...copy);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const commit = () => {
        this.records.push(...copy);
        resolve();
      };
      const fail = (error: unknown, kept = false) => {
        if (kept) this.records.push(...copy);
        reject(error);
      };
      this.held!.push({ records: copy, commit, fail });
    });
  }
}

export class MemoryLogs implements GroupLogs {
  readonly shardCount: number;
  exists = false;
  /** Each is the error of one of the next opens. */
  readonly openErrors: unknown[] = [];
  readonly #logs = new Map<number, MemoryLog>();

  constructor(shardCount: number) {
    this.shardCount = shardCount;
  }

  async open(shard: number): Promise<GroupRecordLog> {
    const error = this.openErrors.shift();
    if (error !== undefined) throw error;
    this.exists = true;
    return this.log(shard);
  }

  log(shard: number): MemoryLog {
    const log = this.#logs.get(shard) ?? new MemoryLog();
    this.#logs.set(shard, log);
    return log;
  }
}

export const diskFailed = new BrokerError("KAFKA_STORAGE_ERROR", "the disk failed", { maybeAppended: true });
