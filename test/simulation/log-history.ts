// What the world outside knows of the logs under test: everything asked and answered, in order, and what follows from it.
// A crash point is a disk and a length of this history, so that one recorded run can be ended at any of its operations.

import type { AppendInfo } from "../../src/log/write-group.ts";
import type { ObservedLog } from "./log-observation.ts";

export interface SentBatch {
  readonly topicId: string;
  /** The bytes a log keeps of it as they are: magic to end. No two batches have the same. */
  readonly content: string;
  /** As the producer encoded it; to be copied for each attempt, since the log stamps what it gets. */
  readonly bytes: Uint8Array;
  readonly records: number;
  readonly producer?: { readonly id: bigint; readonly epoch: number; readonly sequence: number };
  readonly expectedOffset?: number;
  /** Breaks a rule, so that it must be refused. */
  readonly isDoomed: boolean;
}

export type HistoryEvent =
  /** The metadata store's transactions: durable at once. */
  | { readonly kind: "known"; readonly name: string; readonly topicId: string; readonly overrides: TopicOverrides }
  | { readonly kind: "forgotten"; readonly name: string }
  | { readonly kind: "deletionsSettled" }
  | { readonly kind: "epochsRaised" }
  | { readonly kind: "configured"; readonly topicId: string; readonly overrides: TopicOverrides }
  | { readonly kind: "sent"; readonly batch: SentBatch }
  | { readonly kind: "acknowledged"; readonly batch: SentBatch; readonly info: AppendInfo }
  | { readonly kind: "refused"; readonly batch: SentBatch; readonly code: string; readonly maybeAppended: boolean }
  /** The log start may rise to this offset from now on. */
  | { readonly kind: "startAsked"; readonly topicId: string; readonly offset: number }
  | { readonly kind: "startAnswered"; readonly topicId: string; readonly offset: number }
  /** Everything below the offset is said to be synced. */
  | { readonly kind: "flushed"; readonly topicId: string; readonly offset: number }
  /** A start has ended well, and this is what it found. */
  | { readonly kind: "recovered"; readonly log: ObservedLog };

export type TopicOverrides = Readonly<Record<string, string | number>>;

/** What may have become of a batch, by all answers to all attempts. */
export interface BatchFate {
  readonly batch: SentBatch;
  /** Attempts without an answer, or with one that leaves it open. */
  open: number;
  /** Where it is known to be. */
  baseOffset: number | undefined;
  leaderEpoch: number | undefined;
}

export interface ExpectedLog {
  readonly name: string;
  readonly topicId: string;
  overrides: TopicOverrides;
  leaderEpoch: number;
  /** By content, in the order they were first sent. */
  readonly fates: Map<string, BatchFate>;
  logStartMin: number;
  logStartMax: number;
  /** One past the last record known to be in the log. */
  acknowledgedEnd: number;
  /** The same for what a power cut must leave. */
  durableEnd: number;
}

export function isStrict(log: ExpectedLog): boolean {
  return log.overrides["flush.messages"] === undefined || log.overrides["flush.messages"] === 1;
}

export class History {
  readonly events: HistoryEvent[] = [];
  /** Of the topics that the store knows. */
  readonly logs = new Map<string, ExpectedLog>();
  /** Topic ids with a deletion record in the store. */
  readonly deletedIds = new Set<string>();
  readonly everDeletedIds = new Set<string>();

  /** A history of its own, up to the given length. */
  upTo(length: number): History {
    const copy = new History();
    for (const event of this.events.slice(0, length)) copy.add(event);
    return copy;
  }

  byName(name: string): ExpectedLog | undefined {
    return [...this.logs.values()].find((log) => log.name === name);
  }

  add(event: HistoryEvent): void {
    this.events.push(event);
    switch (event.kind) {
      case "known":
        this.logs.set(event.topicId, {
          ...event,
          leaderEpoch: 0,
          fates: new Map(),
          logStartMin: 0,
          logStartMax: 0,
          acknowledgedEnd: 0,
          durableEnd: 0,
        });
        return;
      case "forgotten": {
        const { topicId } = this.byName(event.name)!;
        this.logs.delete(topicId);
        this.deletedIds.add(topicId);
        this.everDeletedIds.add(topicId);
        return;
      }
      case "deletionsSettled":
        this.deletedIds.clear();
        return;
      case "epochsRaised":
        for (const log of this.logs.values()) log.leaderEpoch += 1;
        return;
      default:
        this.#addToLog(event);
    }
  }

  #addToLog(event: Exclude<HistoryEvent, { kind: "known" | "forgotten" | "deletionsSettled" | "epochsRaised" }>): void {
    const log = this.logs.get(topicIdOf(event));
    if (!log) return; // deleted meanwhile: nothing is promised any more
    switch (event.kind) {
      case "configured":
        log.overrides = event.overrides;
        return;
      case "sent":
        fateOf(log, event.batch).open += 1;
        return;
      case "acknowledged":
        acknowledge(log, event.batch, event.info);
        return;
      case "refused":
        if (!event.maybeAppended) fateOf(log, event.batch).open -= 1;
        return;
      case "startAsked":
        log.logStartMax = Math.max(log.logStartMax, event.offset);
        return;
      case "startAnswered":
        log.logStartMin = Math.max(log.logStartMin, event.offset);
        return;
      case "flushed":
        log.durableEnd = Math.max(log.durableEnd, event.offset);
        return;
      case "recovered":
        settle(log, event.log);
        return;
    }
  }
}

function topicIdOf(
  event: Exclude<HistoryEvent, { kind: "known" | "forgotten" | "deletionsSettled" | "epochsRaised" }>,
): string {
  if ("batch" in event) return event.batch.topicId;
  return event.kind === "recovered" ? event.log.topicId : event.topicId;
}

function fateOf(log: ExpectedLog, batch: SentBatch): BatchFate {
  let fate = log.fates.get(batch.content);
  if (!fate) {
    fate = { batch, open: 0, baseOffset: undefined, leaderEpoch: undefined };
    log.fates.set(batch.content, fate);
  }
  return fate;
}

function acknowledge(log: ExpectedLog, batch: SentBatch, info: AppendInfo): void {
  const fate = fateOf(log, batch);
  fate.open -= 1;
  fate.baseOffset = info.baseOffset;
  if (!info.duplicate) fate.leaderEpoch = info.leaderEpoch;
  log.acknowledgedEnd = Math.max(log.acknowledgedEnd, info.lastOffset + 1);
  if (isStrict(log)) log.durableEnd = Math.max(log.durableEnd, info.lastOffset + 1);
}

/** A recovery syncs what it keeps: that is known from now on, and what it did not find is gone for good. */
function settle(log: ExpectedLog, found: ObservedLog): void {
  const batches = new Map(found.batches.map((batch) => [batch.content, batch.header]));
  for (const fate of log.fates.values()) {
    fate.open = 0;
    const header = batches.get(fate.batch.content);
    if (header) {
      fate.baseOffset = header.baseOffset;
      fate.leaderEpoch = header.partitionLeaderEpoch;
    } else if (fate.baseOffset !== undefined && fate.baseOffset + fate.batch.records > found.logStartOffset)
      fate.baseOffset = undefined; // a relaxed topic lost it
  }
  log.logStartMin = found.logStartOffset;
  log.logStartMax = found.logStartOffset;
  log.acknowledgedEnd = found.logEndOffset;
  log.durableEnd = found.logEndOffset;
}
