// Topic configs: what is taken, what is refused and with which words, and what the log is given.

import { describe, expect, test } from "vitest";
import { effectiveTopicConfig, parseTopicConfig, topicConfig, topicConfigNames } from "../../src/log/topic-config.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";

const limits = { appendGroupBytesMax: 4 * 1024 * 1024 };
const parse = (input: Record<string, unknown>) => parseTopicConfig(input, limits);

function refusal(input: Record<string, unknown>): BrokerError {
  try {
    parse(input);
  } catch (error) {
    if (error instanceof BrokerError && error.code === "INVALID_CONFIG") return error;
    throw error;
  }
  throw new Error(`${JSON.stringify(input)} was taken`);
}

test("without overrides a topic has Kafka's defaults, but syncs every acknowledgement", () => {
  expect(topicConfig({})).toEqual({
    cleanupPolicy: { delete: true, compact: false },
    retentionMs: 604_800_000,
    retentionBytes: -1,
    segmentBytes: 1_073_741_824,
    segmentMs: 604_800_000,
    segmentIndexBytes: 10_485_760,
    indexIntervalBytes: 4096,
    maxMessageBytes: 1_048_588,
    minInsyncReplicas: 1,
    flushMessages: 1,
    flushMs: Number.POSITIVE_INFINITY,
    minCleanableDirtyRatio: 0.5,
    minCompactionLagMs: 0,
    maxCompactionLagMs: Number.POSITIVE_INFINITY,
    deleteRetentionMs: 86_400_000,
    messageTimestampType: "CreateTime",
    messageTimestampBeforeMaxMs: Number.POSITIVE_INFINITY,
    messageTimestampAfterMaxMs: 3_600_000,
  });
});

test("compaction: policies, ratio and lags", () => {
  const overrides = parse({
    "cleanup.policy": "compact,delete",
    "min.cleanable.dirty.ratio": "0.25",
    "max.compaction.lag.ms": 60_000,
  });
  expect(overrides["min.cleanable.dirty.ratio"]).toBe(0.25);
  const config = topicConfig(overrides);
  expect(config.cleanupPolicy).toEqual({ delete: true, compact: true });
  expect(config).toMatchObject({ minCleanableDirtyRatio: 0.25, maxCompactionLagMs: 60_000, segmentMs: 60_000 });
  expect(topicConfig(parse({ "cleanup.policy": "compact" })).cleanupPolicy).toEqual({ delete: false, compact: true });
});

test("numbers are taken as such and as text, choices as text", () => {
  const asNumbers = parse({
    "retention.ms": 1000,
    "segment.bytes": 1024,
    "flush.messages": 500,
    "retention.bytes": -1,
  });
  const asTexts = parse({
    "retention.ms": "1000",
    "segment.bytes": "1024",
    "flush.messages": "500",
    "retention.bytes": "-1",
  });
  expect(asTexts).toEqual(asNumbers);
  expect(topicConfig(asTexts)).toMatchObject({
    retentionMs: 1000,
    segmentBytes: 1024,
    flushMessages: 500,
    retentionBytes: -1,
  });
  const choices = parse({
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "compression.type": "producer",
  });
  expect(topicConfig(choices)).toMatchObject({
    messageTimestampType: "LogAppendTime",
    cleanupPolicy: { delete: true, compact: false },
  });
});

test.each([2 ** 63, "9223372036854775807", 2 ** 53, Number.MAX_SAFE_INTEGER])(
  "Kafka's largest long, %s, means never",
  (value) => {
    const parsed = parse({ "flush.messages": value, "flush.ms": value, "retention.ms": value });
    expect(parsed["flush.messages"]).toBe(Number.MAX_SAFE_INTEGER); // exact in JSON
    const config = topicConfig(JSON.parse(JSON.stringify(parsed)) as Record<string, unknown>);
    expect([config.flushMessages, config.flushMs, config.retentionMs]).toEqual(Array(3).fill(Number.POSITIVE_INFINITY));
  },
);

test("the effective config names every config in Kafka's spelling; what it shows can be set", () => {
  const effective = effectiveTopicConfig(parse({ "retention.ms": "5" }));
  expect(Object.keys(effective)).toEqual(topicConfigNames);
  expect(effective).toMatchObject({ "retention.ms": 5, "flush.messages": 1, "compression.type": "producer" });
  for (const name of topicConfigNames) expect(name).toMatch(/^[a-z]+(\.[a-z]+)+$/);
  for (const value of Object.values(effective)) expect(value === JSON.parse(JSON.stringify(value))).toBe(true);
  expect(topicConfig(parse(effective))).toEqual(topicConfig({ "retention.ms": 5 }));
});

describe("INVALID_CONFIG", () => {
  test.each<[Record<string, unknown>, string]>([
    [{ "retention.msec": 1 }, "retention.msec is not a topic config; is retention.ms meant?"],
    [{ retentionBytes: 1 }, "retentionBytes is not a topic config; is retention.bytes meant?"],
    [{ zzzzzz: 1 }, "zzzzzz is not a topic config"],
    [{ constructor: 1 }, "constructor is not a topic config"],
    [{ "remote.storage.enable": true }, "remote.storage.enable is not supported by this broker"],
    [{ "local.retention.ms": 1 }, "local.retention.ms is not supported by this broker"],
    [{ preallocate: true }, "preallocate is not supported by this broker"],
    [{ "unclean.leader.election.enable": false }, "unclean.leader.election.enable is not supported by this broker"],
    [{ "compression.gzip.level": 1 }, "compression.gzip.level is not supported by this broker"],
    [{ "retention.ms": -2 }, "retention.ms must be from -1 to 2^63−1, not -2"],
    [{ "segment.bytes": "1023" }, "segment.bytes must be from 1024 to 2147483647, not 1023"],
    [{ "segment.bytes": 2 ** 31 }, "segment.bytes must be from 1024 to 2147483647, not 2147483648"],
    [{ "min.insync.replicas": 0 }, "min.insync.replicas must be from 1 to 2147483647, not 0"],
    [{ "flush.messages": 0 }, "flush.messages must be from 1 to 2^63−1, not 0"],
    [{ "retention.ms": 1.5 }, "retention.ms must be a whole number, not 1.5"],
    [{ "retention.ms": "1e3" }, 'retention.ms must be a whole number, not "1e3"'],
    [{ "retention.ms": "" }, 'retention.ms must be a whole number, not ""'],
    [{ "retention.ms": true }, "retention.ms must be a whole number, not true"],
    [{ "retention.ms": [1] }, "retention.ms must be a whole number, not [1]"],
    [{ "retention.ms": null }, "retention.ms must be a whole number, not null"],
    [
      { "message.timestamp.type": "createTime" },
      'message.timestamp.type must be "CreateTime" or "LogAppendTime", not "createTime"',
    ],
    [
      { "cleanup.policy": "toString" },
      'cleanup.policy must be "delete" or "compact" or "compact,delete" or "delete,compact", not "toString"',
    ],
    [{ "min.cleanable.dirty.ratio": 1.01 }, "min.cleanable.dirty.ratio must be from 0 to 1, not 1.01"],
    [{ "min.cleanable.dirty.ratio": "half" }, 'min.cleanable.dirty.ratio must be a number, not "half"'],
    [{ "max.compaction.lag.ms": 0 }, "max.compaction.lag.ms must be from 1 to 2^63−1, not 0"],
    [{ "delete.retention.ms": 0.5 }, "delete.retention.ms must be a whole number, not 0.5"],
    [
      { "compression.type": "zstd" },
      'compression.type must be "producer", not "zstd" (batches are stored as the producer sent them)',
    ],
  ])("%j", (input, detail) => {
    const error = refusal({ "segment.ms": 5000, ...input });
    expect(error.message).toBe(detail);
    expect(error.fields).toEqual({ config: Object.keys(input)[0] });
  });

  test("a batch must fit into one write group", () => {
    expect(parse({ "max.message.bytes": limits.appendGroupBytesMax })).toEqual({ "max.message.bytes": 4_194_304 });
    expect(refusal({ "max.message.bytes": limits.appendGroupBytesMax + 1 }).message).toMatch(
      /^max\.message\.bytes must not be above 4194304: .* appendGroupBytesMax/,
    );
  });

  test("does not repeat a client's megabytes", () => {
    const long = "x".repeat(1_000_000);
    for (const input of [
      { [long]: 1 },
      { [`remote.${long}`]: 1 },
      { "retention.ms": long },
      { "cleanup.policy": [long] },
    ]) {
      const error = refusal(input);
      expect(error.message.length).toBeLessThan(300);
      expect(JSON.stringify(error.fields).length).toBeLessThan(300);
    }
  });
});
