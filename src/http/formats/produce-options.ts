// What a produce request says besides its records, the same in JSON, in msgpack and in query parameters: names, bounds,
// defaults. Readers hand over each field as they meet it; build() gives the whole once all are known.

import type { RecordToWrite } from "../../protocol/record.ts";
import { invalidField } from "./body-refusal.ts";

export const partFormats = ["json", "string", "base64"] as const;
/** How JSON shows the bytes of a key or value. */
export type PartFormat = (typeof partFormats)[number];

export interface ProducerFields {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

export interface ProduceOptions {
  readonly acks: "all" | 1 | 0;
  readonly timeoutMs: number;
  readonly keyFormat: PartFormat;
  readonly valueFormat: PartFormat;
  /** Set if the request names an idempotent producer. */
  readonly producer: ProducerFields | undefined;
  readonly expectedOffset: number | undefined;
}

/** What a body cannot say for itself. */
export interface ProduceContext {
  /** The partition of the path; undefined on the topic route, where records name theirs or leave it to the broker. */
  readonly partition: number | undefined;
  /** What a record without a timestamp gets; milliseconds. */
  readonly nowMs: number;
  /** Set for a frame of a WebSocket: takes what the path and the headers of a request would say. */
  readonly frame?: FrameFields | undefined;
}

export const frameFieldNames = ["type", "id", "topic", "partition", "idempotencyKey"] as const;
export type FrameFieldName = (typeof frameFieldNames)[number];

export interface FrameFields {
  /** `value` is a string, a number (NaN if it is not a whole one), or undefined for other kinds. */
  set(name: FrameFieldName, value: unknown): void;
  /** Msgpack: one RecordBatch instead of records. */
  batch: Uint8Array | undefined;
}

/** One record as the log takes it. Its bytes may be views into the body. */
export interface ParsedRecord extends RecordToWrite {
  /** What the record itself says. */
  readonly partition: number | undefined;
}

export interface ParsedProduce {
  readonly records: readonly ParsedRecord[];
  readonly options: ProduceOptions;
}

/** Ten minutes: past that a client has surely gone. */
export const produceTimeoutMsMax = 600_000;
const produceTimeoutMsDefault = 30_000;
export const partitionMax = 2 ** 31 - 1;

interface WholeNumberOption {
  readonly min: number;
  readonly max: number;
}

const numberOptions = {
  timeoutMs: { min: 1, max: produceTimeoutMsMax },
  producerId: { min: 0, max: Number.MAX_SAFE_INTEGER },
  producerEpoch: { min: 0, max: 32_766 },
  baseSequence: { min: 0, max: 2 ** 31 - 1 },
  expectedOffset: { min: 0, max: Number.MAX_SAFE_INTEGER },
} as const satisfies Record<string, WholeNumberOption>;

type NumberOption = keyof typeof numberOptions;
export type ProduceOptionName = NumberOption | "acks" | "keyFormat" | "valueFormat";

const topicOptionNames = ["acks", "timeoutMs", "keyFormat", "valueFormat"] as const;
const partitionOptionNames = [
  ...topicOptionNames,
  "producerId",
  "producerEpoch",
  "baseSequence",
  "expectedOffset",
] as const;

/** The options of one scope. Msgpack has no formats. */
export function produceOptionNames(scope: "topic" | "partition", formats: boolean): readonly ProduceOptionName[] {
  const names = scope === "topic" ? topicOptionNames : partitionOptionNames;
  return formats ? names : names.filter((name) => name !== "keyFormat" && name !== "valueFormat");
}

/** Names that are unknown for a reason worth telling. */
export const produceHints: ReadonlyMap<string, string> = new Map([
  ["producerId", "idempotent producing is on /v1/topics/{topic}/partitions/{partition}/records"],
  ["producerEpoch", "idempotent producing is on /v1/topics/{topic}/partitions/{partition}/records"],
  ["baseSequence", "idempotent producing is on /v1/topics/{topic}/partitions/{partition}/records"],
  ["expectedOffset", "it is on /v1/topics/{topic}/partitions/{partition}/records"],
  ["partition", "it goes into each record, or into the path"],
  ["topic", "the topic is in the path"],
  ["key", 'records go into an array: {"records":[{"key":…,"value":…}]}'],
  ["value", 'records go into an array: {"records":[{"value":…}]}'],
  ["messages", "did you mean records?"],
]);

export const recordHints: ReadonlyMap<string, string> = new Map([
  ["offset", "the log gives offsets; expectedOffset of the partition route is a condition"],
  ["topic", "the topic is in the path"],
  ["payload", "did you mean value?"],
  ["data", "did you mean value?"],
  ["body", "did you mean value?"],
  ["message", "did you mean value?"],
  ["time", "did you mean timestamp?"],
  ["keyFormat", "formats are of the whole request"],
  ["valueFormat", "formats are of the whole request"],
]);

export class ProduceOptionsBuilder {
  readonly #numbers: Partial<Record<NumberOption, number>> = {};
  #acks: "all" | 1 | 0 = "all";
  keyFormat: PartFormat = "string";
  valueFormat: PartFormat = "json";

  /** `value` is what the body says: a string, a number (NaN if it is not a whole one), or anything else to be refused. */
  set(name: ProduceOptionName, value: unknown): void {
    if (name === "acks") {
      if (value !== "all" && value !== 1 && value !== 0) throw invalidField("acks", 'must be "all", 1 or 0');
      this.#acks = value;
    } else if (name === "keyFormat" || name === "valueFormat") {
      this[name] = partFormat(name, value);
    } else {
      this.#numbers[name] = wholeNumber(name, value, numberOptions[name]);
    }
  }

  build(): ProduceOptions {
    return {
      acks: this.#acks,
      timeoutMs: this.#numbers.timeoutMs ?? produceTimeoutMsDefault,
      keyFormat: this.keyFormat,
      valueFormat: this.valueFormat,
      producer: this.#producer(),
      expectedOffset: this.#numbers.expectedOffset,
    };
  }

  #producer(): ProducerFields | undefined {
    const { producerId, producerEpoch, baseSequence } = this.#numbers;
    if (producerId === undefined && producerEpoch === undefined && baseSequence === undefined) return undefined;
    if (producerId === undefined) throw missingProducerField("producerId");
    if (producerEpoch === undefined) throw missingProducerField("producerEpoch");
    if (baseSequence === undefined) throw missingProducerField("baseSequence");
    return { producerId, producerEpoch, baseSequence };
  }
}

const missingProducerField = (name: string) =>
  invalidField(name, "is missing", "producerId, producerEpoch and baseSequence go together, all or none");

export function partFormat(path: string, value: unknown): PartFormat {
  if (value === "json" || value === "string" || value === "base64") return value;
  throw invalidField(path, "must be json, string or base64");
}

export function wholeNumber(path: string, value: unknown, { min, max }: WholeNumberOption): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw invalidField(path, `must be a whole number from ${min} to ${max === Number.MAX_SAFE_INTEGER ? "2^53-1" : max}`);
}

/** The options as query parameters: for bodies that are no object. Other parameters are the caller's to judge. */
export function produceOptionsFromQuery(
  query: ReadonlyMap<string, string>,
  scope: "topic" | "partition",
): ProduceOptions {
  const builder = new ProduceOptionsBuilder();
  for (const name of produceOptionNames(scope, true)) {
    const text = query.get(name);
    if (text === undefined) continue;
    const isNumber = /^(?:0|[1-9][0-9]{0,15})$/.test(text);
    builder.set(name, isNumber ? Number(text) : text);
  }
  return builder.build();
}
