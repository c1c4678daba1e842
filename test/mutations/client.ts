// Seeded defects of src/client.

import type { Mutation } from "./mutation.ts";

const lane = "src/client/partition-lane.ts";
const progress = "src/client/progress.ts";
const feed = "src/client/group-feed.ts";
const holdings = "src/client/group-holdings.ts";
const producer = "test/client/producer.test.ts";
const topic = "test/client/consumer-topic.test.ts";
const group = "test/client/consumer-group.test.ts";
const calls = "test/client/calls.test.ts";
const sockets = "test/client/sockets.test.ts";

export const clientMutations: readonly Mutation[] = [
  {
    name: "client-doubt-forgotten",
    file: lane,
    find: "delivery.inDoubt ||= error.maybeAppended;",
    replace: "",
    caughtBy: producer,
    test: "in doubt",
  },
  {
    name: "client-same-epoch-after-doubt",
    file: lane,
    find: "if (delivery.inDoubt) this.#raise();",
    replace: "if (delivery.inDoubt) void 0;",
    caughtBy: producer,
    test: "a deadline in doubt",
  },
  {
    name: "client-batch-lost-with-one-record",
    file: lane,
    find: "for (const index of indexes) records[index as number]?.reject(error);",
    replace: "for (const record of records) record.reject(error);",
    caughtBy: producer,
    test: "lose only the records at fault",
  },
  {
    name: "client-buffer-lets-pass",
    file: "src/client/send-buffer.ts",
    find: "if (this.#waiting.length === 0 && this.#hasRoom(sizeBytes)) {",
    replace: "if (this.#hasRoom(sizeBytes) || this.#waits) {",
    caughtBy: producer,
    test: "when the buffer is full",
  },
  {
    name: "client-commit-passes-unfinished",
    file: progress,
    find: "if (!isDone) return;",
    replace: "if (!isDone && this.#running.size > 99) return;",
    caughtBy: topic,
    test: "positions never pass",
  },
  {
    name: "client-key-order-lost",
    file: "src/client/keyed-runner.ts",
    find: "if (key === null) return",
    replace: "if (key !== undefined) return",
    caughtBy: topic,
    test: "several keys at once",
  },
  {
    name: "client-seek-ignored-in-flight",
    file: progress,
    find: "    this.#open.clear();\n    this.#position = offset;",
    replace: "    this.#position = offset;",
    caughtBy: topic,
    test: "seek, back and forward",
  },
  {
    name: "client-lets-go-of-what-is-handled",
    file: holdings,
    find: "return progress.isIdle && (",
    replace: "return (",
    caughtBy: group,
    test: "is finished first",
  },
  {
    name: "client-beats-only-between-records",
    file: feed,
    find: "this.#beating ??= this.#beats();",
    replace: "this.#beating ??= Promise.resolve();",
    caughtBy: group,
    test: "while its buffer is full",
  },
  {
    name: "client-lost-partitions-kept",
    file: feed,
    find: "if (join === this.#join) this.#drop(error.code);",
    replace: "",
    caughtBy: group,
    test: "one that was removed",
  },
  {
    name: "client-retry-after-ignored",
    file: "src/client/retry.ts",
    find: "Math.max(error.retryAfterMs ?? 0, ",
    replace: "Math.max(0, ",
    caughtBy: calls,
    test: "as long as the broker asks",
  },
  {
    name: "client-window-beyond-what-was-taken",
    file: "src/client/inbox.ts",
    find: "return this.#records[this.#taken]?.offset ?? this.fetchPosition;",
    replace: "return this.fetchPosition;",
    caughtBy: sockets,
    test: "acks only what was taken",
  },
];
