// What compaction leaves of one batch (rules: Apache Kafka, Cleaner.cleanInto): the last record of each key, tombstones until their
// horizon has passed, and of batches that must leave a trace a header alone.

import { type KeptRecord, keptRecord, rewriteBatch } from "../protocol/batch-rewrite.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { type BatchHeader, hasDeleteHorizon, isControl, isTransactional } from "../protocol/record-batch.ts";
import { RecordReader } from "../protocol/record-reader.ts";
import type { KeyMap } from "./key-map.ts";

export interface CleaningRules {
  /** The last offset of each key in [firstDirty, mappedTo). */
  readonly keys: KeyMap;
  /** Records from here on stay: what they replace, and what replaces them, is not known yet. */
  readonly mappedTo: number;
  readonly nowMs: number;
  /** How long a tombstone stays once all it deletes is gone. */
  readonly deleteRetentionMs: number;
  readonly codecs: Codecs;
  readonly decompressedBytesMax: number;
}

/** A control batch, or one whose transaction may have been aborted: it is not looked into. */
export function isLeftAlone(header: BatchHeader): boolean {
  return isControl(header) || isTransactional(header);
}

/** The batches that take this one's place: itself, untouched, if nothing is to change; none if nothing has to stay. */
export function cleanBatch(
  batch: Uint8Array,
  header: BatchHeader,
  mustLeaveHeader: boolean,
  rules: CleaningRules,
): readonly Uint8Array[] {
  if (isLeftAlone(header)) return [batch];
  if (header.recordsCount === 0) return mustLeaveHeader ? [batch] : [];
  const { codecs, nowMs } = rules;
  const reader = RecordReader.open(batch, header, codecs, rules);
  const horizonMs = hasDeleteHorizon(header) ? header.baseTimestamp : undefined;
  const kept: KeptRecord[] = [];
  let tombstones = 0;
  while (reader.next()) {
    if (!mustStay(reader, rules, horizonMs === undefined || nowMs < horizonMs)) continue;
    if (reader.valueLength < 0) tombstones += 1;
    kept.push(keptRecord(header, reader));
  }
  // Only once all it deletes is gone, which a record behind the mapped ones cannot say.
  const startsHorizon = horizonMs === undefined && tombstones > 0 && header.lastOffset < rules.mappedTo;
  if (kept.length === header.recordsCount && !startsHorizon) return [batch];
  if (kept.length === 0 && !mustLeaveHeader) return [];
  const newHorizonMs = startsHorizon ? horizonAfter(rules) : undefined;
  return rewriteBatch(header, kept, reader.bytes, newHorizonMs, codecs);
}

function mustStay(reader: RecordReader, { keys, mappedTo }: CleaningRules, tombstonesStay: boolean): boolean {
  const { key, offset } = reader;
  if (offset >= mappedTo) return true;
  if (key === null) return false;
  const last = keys.get(key);
  if (last !== undefined && last > offset) return false;
  return reader.valueLength >= 0 || tombstonesStay;
}

function horizonAfter({ nowMs, deleteRetentionMs }: CleaningRules): number {
  return Math.min(nowMs + deleteRetentionMs, Number.MAX_SAFE_INTEGER);
}

/** Notes the keys of a batch from `from` on; gives where the map was full, if it was. */
export function mapBatch(
  batch: Uint8Array,
  header: BatchHeader,
  from: number,
  keys: KeyMap,
  codecs: Codecs,
  decompressedBytesMax: number,
): number | undefined {
  if (isLeftAlone(header) || header.recordsCount === 0) return undefined;
  const reader = RecordReader.open(batch, header, codecs, { decompressedBytesMax });
  while (reader.next()) {
    const { key, offset } = reader;
    if (offset >= from && key !== null && !keys.put(key, offset)) return offset;
  }
  return undefined;
}
