// Topic configs: Kafka's names, meanings and defaults (Apache Kafka 4.3, TopicConfig.java), but for flush.messages, which is 1 here:
// an acknowledgement means fsynced. Values are numbers, booleans and strings as such; the text of a number or boolean is taken too.

import { nearestName } from "../nearest-name.ts";
import { BrokerError } from "../protocol/error-codes.ts";

/** What the log and the broker go by; times in milliseconds, sizes in bytes. */
export interface TopicConfig {
  readonly cleanupPolicy: { readonly delete: boolean; readonly compact: boolean };
  /** −1: kept for ever. */
  readonly retentionMs: number;
  /** Of one partition; −1: no limit. */
  readonly retentionBytes: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly segmentIndexBytes: number;
  readonly indexIntervalBytes: number;
  readonly maxMessageBytes: number;
  readonly minInsyncReplicas: number;
  /** Records that may be written before a sync; 1: every acknowledgement is synced. */
  readonly flushMessages: number;
  /** Infinity: only flush.messages counts. */
  readonly flushMs: number;
  /** Of what may be compacted, the part that was not yet; above it compaction is due. */
  readonly minCleanableDirtyRatio: number;
  /** Younger records are not compacted. */
  readonly minCompactionLagMs: number;
  /** Infinity: only the ratio counts. */
  readonly maxCompactionLagMs: number;
  /** How long a tombstone stays once all it deletes is gone. */
  readonly deleteRetentionMs: number;
  readonly messageTimestampType: "CreateTime" | "LogAppendTime";
  /** How far before and after now a record's timestamp may lie; Infinity: any. */
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampAfterMaxMs: number;
}

/** Kafka's "never" and "no limit" for times and counts. */
const unlimited = 2 ** 63;

interface NumberKind {
  readonly kind: "number";
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** Need not be whole. */
  readonly isFraction?: boolean;
}
interface ChoiceKind {
  readonly kind: "choice";
  readonly default: string;
  readonly choices: readonly string[];
  /** Legal in Kafka, and why not here. */
  readonly refused?: Readonly<Record<string, string>>;
}

const number = (defaultValue: number, min: number, max: number): NumberKind => ({
  kind: "number",
  default: defaultValue,
  min,
  max,
});
const int32Max = 2 ** 31 - 1;

const table = {
  "cleanup.policy": {
    kind: "choice",
    default: "delete",
    choices: ["delete", "compact", "compact,delete", "delete,compact"],
  },
  "compression.type": {
    kind: "choice",
    default: "producer",
    choices: ["producer"],
    refused: Object.fromEntries(
      ["uncompressed", "gzip", "snappy", "lz4", "zstd"].map((codec) => [
        codec,
        "batches are stored as the producer sent them",
      ]),
    ),
  },
  "delete.retention.ms": number(86_400_000, 0, unlimited),
  "flush.messages": number(1, 1, unlimited),
  "flush.ms": number(unlimited, 0, unlimited),
  "index.interval.bytes": number(4096, 0, int32Max),
  "max.compaction.lag.ms": number(unlimited, 1, unlimited),
  "max.message.bytes": number(1_048_588, 0, int32Max),
  "message.timestamp.after.max.ms": number(3_600_000, 0, unlimited),
  "message.timestamp.before.max.ms": number(unlimited, 0, unlimited),
  "message.timestamp.type": { kind: "choice", default: "CreateTime", choices: ["CreateTime", "LogAppendTime"] },
  "min.cleanable.dirty.ratio": { kind: "number", default: 0.5, min: 0, max: 1, isFraction: true },
  "min.compaction.lag.ms": number(0, 0, unlimited),
  "min.insync.replicas": number(1, 1, int32Max),
  "retention.bytes": number(-1, -1, unlimited),
  "retention.ms": number(604_800_000, -1, unlimited),
  "segment.bytes": number(1_073_741_824, 1024, int32Max),
  "segment.index.bytes": number(10_485_760, 24, int32Max),
  "segment.ms": number(604_800_000, 1, unlimited),
} as const satisfies Record<string, NumberKind | ChoiceKind>;

type ConfigName = keyof typeof table;
export type ConfigValue = string | number;
export type TopicOverrides = Readonly<Record<string, ConfigValue>>;

export const topicConfigNames = Object.keys(table) as readonly ConfigName[];

/** Kafka's configs that change nothing here; taken by no one, so that nobody believes they do. */
const notSupported =
  /^(remote\.|local\.retention\.|preallocate$|file\.delete\.delay\.ms$|follower\.replication|leader\.replication|segment\.jitter\.ms$|(gzip|lz4|zstd)?\.?compression\.(gzip|lz4|zstd)\.level$|unclean\.leader\.election\.enable$|internal\.|message\.downconversion|message\.format)/;

/** The overrides as they are stored, or INVALID_CONFIG that says which and why. null is not a value here. */
export function parseTopicConfig(
  input: Readonly<Record<string, unknown>>,
  limits: { readonly appendGroupBytesMax: number },
): TopicOverrides {
  const parsed = Object.fromEntries(Object.entries(input).map(([name, value]) => [name, parseValue(name, value)]));
  const largest = parsed["max.message.bytes"];
  if (typeof largest === "number" && largest > limits.appendGroupBytesMax)
    throw invalid(
      "max.message.bytes",
      `must not be above ${limits.appendGroupBytesMax}: a batch is written in one group, and the broker's appendGroupBytesMax bounds it`,
    );
  return parsed;
}

/** All configs by Kafka's names, defaults where nothing was set. */
export function effectiveTopicConfig(overrides: Readonly<Record<string, unknown>>): Record<string, ConfigValue> {
  return Object.fromEntries(
    topicConfigNames.map((name) => [
      name,
      (overrides[name] as ConfigValue | undefined) ?? presented(table[name].default),
    ]),
  );
}

/** The typed form. `overrides` were parsed before. */
export function topicConfig(overrides: Readonly<Record<string, unknown>>): TopicConfig {
  const numberOf = (name: ConfigName) => {
    const value = (overrides[name] as number | undefined) ?? (table[name] as NumberKind).default;
    return value >= Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value;
  };
  const textOf = (name: ConfigName) => (overrides[name] as string | undefined) ?? String(table[name].default);
  const policies = textOf("cleanup.policy").split(",");
  const cleanupPolicy = { delete: policies.includes("delete"), compact: policies.includes("compact") };
  const maxCompactionLagMs = numberOf("max.compaction.lag.ms");
  return {
    cleanupPolicy,
    retentionMs: numberOf("retention.ms"),
    retentionBytes: numberOf("retention.bytes"),
    segmentBytes: numberOf("segment.bytes"),
    // Only a sealed segment can be compacted in time.
    segmentMs: Math.min(numberOf("segment.ms"), cleanupPolicy.compact ? maxCompactionLagMs : Number.POSITIVE_INFINITY),
    segmentIndexBytes: numberOf("segment.index.bytes"),
    indexIntervalBytes: numberOf("index.interval.bytes"),
    maxMessageBytes: numberOf("max.message.bytes"),
    minInsyncReplicas: numberOf("min.insync.replicas"),
    flushMessages: numberOf("flush.messages"),
    flushMs: numberOf("flush.ms"),
    minCleanableDirtyRatio: numberOf("min.cleanable.dirty.ratio"),
    minCompactionLagMs: numberOf("min.compaction.lag.ms"),
    maxCompactionLagMs,
    deleteRetentionMs: numberOf("delete.retention.ms"),
    messageTimestampType: textOf("message.timestamp.type") as TopicConfig["messageTimestampType"],
    messageTimestampBeforeMaxMs: numberOf("message.timestamp.before.max.ms"),
    messageTimestampAfterMaxMs: numberOf("message.timestamp.after.max.ms"),
  };
}

function parseValue(name: string, value: unknown): ConfigValue {
  const kind: NumberKind | ChoiceKind | undefined = Object.hasOwn(table, name) ? table[name as ConfigName] : undefined;
  if (!kind) throw unknown(name);
  return kind.kind === "number" ? parseNumber(name, value, kind) : parseChoice(name, value, kind);
}

const wholeText = /^-?\d{1,19}$/;
const fractionText = /^\d{1,3}(\.\d{1,15})?$/;

function parseNumber(name: string, value: unknown, { min, max, isFraction = false }: NumberKind): number {
  const text = isFraction ? fractionText : wholeText;
  const parsed = typeof value === "string" && text.test(value) ? Number(value) : value;
  if (typeof parsed !== "number" || !(isFraction ? Number.isFinite(parsed) : Number.isInteger(parsed)))
    throw invalid(name, `must be a ${isFraction ? "" : "whole "}number, not ${shown(value)}`);
  if (parsed < min || parsed > max)
    throw invalid(name, `must be from ${min} to ${max === unlimited ? "2^63−1" : max}, not ${parsed}`);
  return presented(parsed);
}

/** "Unlimited" is shown and stored as the largest exact number, which stands for it. */
function presented<T extends ConfigValue>(value: T): T {
  return typeof value === "number" && value > Number.MAX_SAFE_INTEGER ? (Number.MAX_SAFE_INTEGER as T) : value;
}

function parseChoice(name: string, value: unknown, { choices, refused }: ChoiceKind): string {
  if (typeof value === "string" && choices.includes(value)) return value;
  const why = typeof value === "string" && refused && Object.hasOwn(refused, value) ? ` (${refused[value]})` : "";
  throw invalid(
    name,
    `must be ${choices.map((choice) => JSON.stringify(choice)).join(" or ")}, not ${shown(value)}${why}`,
  );
}

function unknown(name: string): BrokerError {
  if (notSupported.test(name)) return invalid(shortened(name), "is not supported by this broker");
  const nearest = nearestName(name, topicConfigNames);
  return invalid(shortened(name), nearest ? `is not a topic config; is ${nearest} meant?` : "is not a topic config");
}

/** An answer must not be as long as what a client sent. */
const shownCharactersMax = 100;

function shown(value: unknown): string {
  return shortened(JSON.stringify(value) ?? String(value));
}

function shortened(text: string): string {
  return text.length <= shownCharactersMax ? text : `${text.slice(0, shownCharactersMax)}…`;
}

function invalid(name: string, reason: string): BrokerError {
  return new BrokerError("INVALID_CONFIG", `${name} ${reason}`, { fields: { config: name } });
}
