// The grammar of `offset`, `until`, `at` and `to`: where in a topic to begin or to end. Pure, so a client can use it too.
//
//   earliest | latest | <offset> | -<count> | @<ms> | @<RFC 3339 time> | [<topicId prefix>/]<partition>:<offset>[,…]
//
// A cursor (what a read over several partitions gives as its nextOffset) is the last form with the first characters of
// the topicId before it, so that it cannot be used on a topic that was deleted and made again.

/** How much of a topicId a cursor carries. */
export const topicIdPrefixLength = 8;
/** A cursor names no more partitions than a read may have. */
export const cursorPartitionsMax = 256;
/** The longest text of the grammar: so many partitions at 10 + 16 digits and two signs, and a prefix. */
export const offsetExpressionCharactersMax = cursorPartitionsMax * 28 + topicIdPrefixLength + 1;

/** `@` of a smaller number is taken for seconds: in milliseconds it would be March 1973. */
const timestampMsMin = 10 ** 11;
const partitionMax = 2 ** 31 - 1;

export type OffsetExpression =
  | { readonly kind: "offset"; readonly offset: number }
  | { readonly kind: "earliest" }
  | { readonly kind: "latest" }
  /** The last `count` records of each partition. */
  | { readonly kind: "last"; readonly count: number }
  /** The first record at or after a time. */
  | { readonly kind: "timestamp"; readonly timestampMs: number }
  /** A partition not named begins at `earliest`. `topicIdPrefix`: the cursor is of the topic whose id starts so. */
  | {
      readonly kind: "perPartition";
      readonly offsets: ReadonlyMap<number, number>;
      readonly topicIdPrefix?: string;
    };

export interface InvalidOffsetExpression {
  readonly kind: "invalid";
  /** Continues the sentence "offset …", for the one who wrote it. */
  readonly reason: string;
}

const integerPattern = /^(?:0|[1-9][0-9]{0,15})$/;
const prefixPattern = /^[A-Za-z0-9_-]{8}$/;
// A "+" before the zone that nobody percent-encoded arrives as a space.
const timePattern =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,30}))?(?:[Zz]|([+ -])([0-9]{2}):([0-9]{2}))$/;

const invalid = (reason: string): InvalidOffsetExpression => ({ kind: "invalid", reason });

/** A whole number from 0 to 2^53−1 without sign, leading zero or exponent; -1 for anything else. */
function integer(text: string): number {
  if (!integerPattern.test(text)) return -1;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : -1;
}

export function parseOffsetExpression(text: string): OffsetExpression | InvalidOffsetExpression {
  if (text === "earliest") return { kind: "earliest" };
  if (text === "latest") return { kind: "latest" };
  if (text === "") return invalid("must not be empty");
  if (text.length > offsetExpressionCharactersMax) {
    return invalid(`must not be longer than ${offsetExpressionCharactersMax} characters`);
  }
  if (text.includes(":") && !text.startsWith("@")) return parsePerPartition(text);
  if (text.startsWith("@")) return parseTimestamp(text.slice(1));
  if (text.startsWith("-")) {
    const count = integer(text.slice(1));
    return count > 0 ? { kind: "last", count } : invalid("-n must be a whole number from -1 down to -(2^53-1)");
  }
  const offset = integer(text);
  if (offset >= 0) return { kind: "offset", offset };
  if (/^[0-9]+$/.test(text)) return invalid("must be a whole number up to 2^53-1, without leading zeros");
  return invalid(
    "must be a number, earliest, latest, -n (the last n), @ms or @2026-11-21T10:00:00Z, or 0:43,1:99 over several partitions",
  );
}

function parseTimestamp(text: string): OffsetExpression | InvalidOffsetExpression {
  if (/^[0-9]+$/.test(text)) {
    const timestampMs = integer(text);
    if (timestampMs < 0) return invalid("@ms must be a whole number up to 2^53-1, without leading zeros");
    if (timestampMs < timestampMsMin) {
      return invalid(`@ms is in milliseconds since 1970: ${text} is in 1973 or before. seconds? write @${text}000`);
    }
    return { kind: "timestamp", timestampMs };
  }
  const parts = timePattern.exec(text);
  if (parts === null) return invalid("@ must be followed by milliseconds since 1970 or a time as 2026-11-21T10:00:00Z");
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const zoneHour = Number(parts[9] ?? 0);
  const zoneMinute = Number(parts[10] ?? 0);
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month - 1, day);
  const dateExists = midnight.getUTCMonth() === month - 1 && midnight.getUTCDate() === day;
  // 60 is a leap second: the first instant of the next minute.
  if (!dateExists || hour > 23 || minute > 59 || second > 60 || zoneHour > 23 || zoneMinute > 59) {
    return invalid("@ must be followed by a time that exists");
  }
  // Records have whole milliseconds: the first at or after a finer time is at or after the next one.
  const fraction = parts[7] ?? "";
  const fractionMs = Number(fraction.slice(0, 3).padEnd(3, "0")) + (/[1-9]/.test(fraction.slice(3)) ? 1 : 0);
  const zoneMs = (parts[8] === "-" ? -1 : 1) * (zoneHour * 60 + zoneMinute) * 60_000;
  const timestampMs = midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + fractionMs - zoneMs;
  return timestampMs >= 0 ? { kind: "timestamp", timestampMs } : invalid("@ must be followed by a time since 1970");
}

function parsePerPartition(text: string): OffsetExpression | InvalidOffsetExpression {
  const slash = text.indexOf("/");
  const prefix = slash < 0 ? undefined : text.slice(0, slash);
  if (prefix !== undefined && !prefixPattern.test(prefix)) {
    return invalid(`must have the first ${topicIdPrefixLength} characters of the topicId before the "/"`);
  }
  const pairs = text.slice(slash + 1).split(",");
  if (pairs.length > cursorPartitionsMax) return invalid(`must not name more than ${cursorPartitionsMax} partitions`);
  const offsets = new Map<number, number>();
  for (const pair of pairs) {
    const colon = pair.indexOf(":");
    const partition = colon < 0 ? -1 : integer(pair.slice(0, colon));
    const offset = integer(pair.slice(colon + 1));
    if (partition < 0 || partition > partitionMax || offset < 0) {
      return invalid("over several partitions must be pairs of partition and offset, as 0:43,1:99");
    }
    if (offsets.has(partition)) return invalid(`names partition ${partition} twice`);
    offsets.set(partition, offset);
  }
  return prefix === undefined
    ? { kind: "perPartition", offsets }
    : { kind: "perPartition", offsets, topicIdPrefix: prefix };
}

/** The text that parses to this expression. */
export function formatOffsetExpression(expression: OffsetExpression): string {
  switch (expression.kind) {
    case "earliest":
    case "latest":
      return expression.kind;
    case "offset":
      return String(expression.offset);
    case "last":
      return `-${expression.count}`;
    case "timestamp":
      return expression.timestampMs < timestampMsMin
        ? `@${new Date(expression.timestampMs).toISOString()}`
        : `@${expression.timestampMs}`;
    case "perPartition": {
      const pairs = [...expression.offsets].sort((a, b) => a[0] - b[0]).map(([p, offset]) => `${p}:${offset}`);
      const text = pairs.join(",");
      return expression.topicIdPrefix === undefined ? text : `${expression.topicIdPrefix}/${text}`;
    }
  }
}

/** The string form of where to go on in several partitions of a topic. */
export function formatCursor(topicId: string, offsets: ReadonlyMap<number, number>): string {
  return formatOffsetExpression({
    kind: "perPartition",
    offsets,
    topicIdPrefix: topicId.slice(0, topicIdPrefixLength),
  });
}

/** False for a cursor that was made on another topic (or on this name before it was deleted and made again). */
export function isOfTopic(expression: OffsetExpression, topicId: string): boolean {
  return (
    expression.kind !== "perPartition" ||
    expression.topicIdPrefix === undefined ||
    topicId.startsWith(expression.topicIdPrefix)
  );
}
