// Seeded defects of what a follower does to its log.

import type { Mutation } from "./mutation.ts";

const crashes = "test/simulation/replica-crash-states.test.ts";
const rules = "test/log/replica-log.test.ts";

export const replicaLogMutations: readonly Mutation[] = [
  {
    name: "cut-before-checkpoints-are-lowered",
    file: "src/log/replica-log.ts",
    find: "      await this.#stored.checkpoints.writeAll(); // a log that ends below what they say is damaged",
    replace: "",
    caughtBy: crashes,
    test: "truncation across segments': every crash",
  },
  {
    name: "segments-cut-from-the-front",
    file: "src/log/log-truncation.ts",
    find: "behind.toReversed()",
    replace: "behind",
    caughtBy: crashes,
    test: "truncation across segments': every crash",
  },
  {
    name: "cut-before-the-segments-behind-are-gone",
    file: "src/log/log-truncation.ts",
    find: "  await disk.syncDir(directory); // before the cut",
    replace: "  // before the cut",
    caughtBy: crashes,
    test: "truncation across segments': every crash",
  },
  {
    name: "cut-keeps-the-producers-memory",
    file: "src/log/stored-log.ts",
    find: "    this.#producers = recovered.producers;\n    this.#logStartOffset = recovered.logStartOffset;\n    this.#logEndOffset = recovered.logEndOffset;\n    this.#flushedOffset = recovered.logEndOffset;\n    this.#highWatermark = recovered.highWatermark;\n  }\n\n  /** Durable",
    replace:
      "    this.#logStartOffset = recovered.logStartOffset;\n    this.#logEndOffset = recovered.logEndOffset;\n    this.#flushedOffset = recovered.logEndOffset;\n    this.#highWatermark = recovered.highWatermark;\n  }\n\n  /** Durable",
    caughtBy: rules,
    test: "is what a start would find",
  },
  {
    name: "readers-run-beside-a-cut",
    file: "src/log/read-gate.ts",
    find: "    while (this.#change) await this.#change;\n    this.#readers += 1;",
    replace: "    this.#readers += 1;",
    caughtBy: rules,
    test: "readers beside it",
  },
  {
    name: "epoch-not-durable-before-its-batch",
    file: "src/log/replica-log.ts",
    find: "    if (isChanged) await epochs.write();",
    replace: "    if (isChanged && headers.length === 0) await epochs.write();",
    caughtBy: crashes,
    test: "append: several epochs, writes and se…': every crash",
  },
  {
    name: "follower-acknowledges-before-sync",
    file: "src/log/replica-log.ts",
    find: "    await this.#stored.write(group);\n  }\n\n  #replay",
    replace: "    void this.#stored.write(group).catch(() => {});\n  }\n\n  #replay",
    caughtBy: rules,
    test: "synced when it resolves",
  },
  {
    name: "follower-writes-more-than-recovery-expects",
    file: "src/log/replica-log.ts",
    find: "group.bytes > 0 && (isFull ||",
    replace: "group.bytes > 0 && ((isFull && group.bytes < 0) ||",
    caughtBy: rules,
    test: "no write is larger",
  },
  {
    name: "leaders-bytes-taken-unchecked",
    file: "src/log/replica-batches.ts",
    find: "    const fault = hasValidCrc(",
    replace: "    const fault = view.byteLength > 0 || hasValidCrc(",
    caughtBy: rules,
    test: "flipped bit",
  },
  {
    name: "start-over-without-the-mark",
    file: "src/log/replica-log.ts",
    find: "    await decideRestart(this.#context, identity.directory, offset);",
    replace: "    void decideRestart;",
    caughtBy: crashes,
    test: "a new beginning, within a batch': every",
  },
  {
    name: "mark-not-durable-before-the-old-log-goes",
    file: "src/log/log-restart.ts",
    find: "  await file.close();\n  await disk.syncDir(directory);",
    replace: "  await file.close();",
    caughtBy: crashes,
    test: "a new beginning, within a batch': every",
  },
  {
    name: "mark-goes-before-the-checkpoints-know",
    file: "src/log/log-manager.ts",
    find: "    await this.#checkpoints.writeAll();\n    for (const [name, directory] of this.#restarted) await this.#finishRestart(name, directory);",
    replace:
      "    for (const [name, directory] of this.#restarted) await this.#finishRestart(name, directory);\n    await this.#checkpoints.writeAll();",
    caughtBy: crashes,
    test: "a new beginning, within a batch': every",
  },
  {
    name: "waiting-appends-outlive-leadership",
    file: "src/log/partition-log.ts",
    find: "    this.#writer.queue.rejectAll(this.#notLed());",
    replace: "",
    caughtBy: rules,
    test: "becoming a follower refuses what waits",
  },
  {
    name: "follower-shows-what-it-has-not-got",
    file: "src/log/replica-log.ts",
    find: "Math.min(leader.highWatermark, this.#stored.acknowledgedOffset)",
    replace: "leader.highWatermark",
    caughtBy: rules,
    test: "as far as the own log goes",
  },
];
