// Seeded defects of src/cluster.

import type { Mutation } from "./mutation.ts";

const metadataFile = "src/cluster/metadata-file.ts";
const store = "src/cluster/single-node-store.ts";
const crash = "test/cluster/single-node-store-crash.test.ts";
const own = "test/cluster/single-node-store.test.ts";
const model = "test/cluster/single-node-store-model.test.ts";

const election = "src/cluster/election.ts";
const elections = "test/cluster/election.test.ts";
const registration = "src/cluster/broker-registration.ts";
const controlled = "test/cluster/controller.test.ts";

export const clusterMutations: readonly Mutation[] = [
  {
    name: "metadata-ack-before-fsync",
    file: metadataFile,
    find: "    await this.#file.append([frame]);\n    await this.#file.sync();",
    replace: "    await this.#file.append([frame]);\n    void this.#file.sync();",
    caughtBy: crash,
  },
  {
    name: "metadata-rename-without-directory-fsync",
    file: metadataFile,
    find: "    await disk.syncDir(directory);\n    return file;",
    replace: "    return file;",
    caughtBy: crash,
  },
  {
    name: "metadata-snapshot-renamed-before-fsync",
    file: metadataFile,
    find: "    await file.append(snapshotFrames(keys, codecs));\n    await file.sync();",
    replace: "    await file.append(snapshotFrames(keys, codecs));",
    caughtBy: crash,
  },
  {
    name: "metadata-recovery-serves-unsynced",
    file: metadataFile,
    find: "      await file.sync();\n      await disk.syncDir(directory);\n      const opened",
    replace: "      await disk.syncDir(directory);\n      const opened",
    caughtBy: crash,
  },
  {
    name: "metadata-recovery-trusts-a-failed-fsync",
    file: metadataFile,
    find: "if (content.lastFrame !== undefined)",
    replace: "if (content.lastFrame === -1)",
    caughtBy: own,
    test: "page cache",
  },
  {
    name: "metadata-torn-end-not-cut",
    file: metadataFile,
    find: "if (content.end < bytes.length) await file.truncate(content.end);",
    replace: "",
    caughtBy: crash,
  },
  {
    name: "metadata-damage-in-the-middle-cut",
    file: metadataFile,
    find: "  if (next !== undefined)\n",
    replace: "  if (next === -1)\n",
    caughtBy: own,
    test: "a bit that flips",
  },
  {
    name: "metadata-folder-name-not-durable",
    file: metadataFile,
    find: '  await disk.syncDir(slash < 0 ? "." : directory.slice(0, slash) || "/");\n',
    replace: "",
    caughtBy: crash,
  },
  {
    name: "metadata-write-goes-on-after-failure",
    file: store,
    find: "    this.#failed = true;\n    this.#refusal = refusal;\n",
    replace: "",
    caughtBy: own,
    test: "after a failed sync",
  },
  {
    name: "metadata-failed-write-told-as-not-done",
    file: store,
    find: 'waiting.resolve({ outcome: "unknown", cause: refusal });',
    replace: "waiting.reject(refusal);",
    caughtBy: crash,
  },
  {
    name: "metadata-group-judged-without-what-is-staged",
    file: "src/cluster/staged-group.ts",
    find: "return this.#staged.has(key) ? this.#staged.get(key) : this.#keys.get(key);",
    replace: "return this.#keys.get(key);",
    caughtBy: model,
  },
  {
    name: "metadata-leased-keys-outlive-the-process",
    file: store,
    find: 'const orphans = opened.keys.leasedKeys().map((key) => ({ kind: "delete", key }) as const);',
    replace: "const orphans: PreparedOperation[] = [];",
    caughtBy: own,
    test: "leased keys go",
  },
  {
    name: "metadata-watch-skips-the-gap",
    file: "src/cluster/watch-hub.ts",
    find: "if (watch.nextRevision <= this.#compactedRevision) {",
    replace:
      "watch.nextRevision = Math.max(watch.nextRevision, this.#compactedRevision + 1);\n" +
      "    if (watch.nextRevision <= this.#compactedRevision) {",
    caughtBy: own,
    test: "from before the history",
  },
  {
    name: "election-in-sync-set-loses-its-last-member",
    file: election,
    find: "  if (intact.length > 0) return intact;",
    replace: "  if (intact.length > 0) return [];",
    caughtBy: elections,
  },
  {
    name: "election-new-life-leads-under-the-old-epoch",
    file: election,
    find: "leader !== value.leader || (leader !== -1 && leaderBrokerEpoch !== value.leaderBrokerEpoch);",
    replace: "leader !== value.leader;",
    caughtBy: elections,
  },
  {
    name: "election-unclean-without-leave",
    file: election,
    find: "rules.allowUnclean ? uncleanLeader(value, kept, brokers) : undefined;",
    replace: "uncleanLeader(value, kept, brokers);",
    caughtBy: elections,
  },
  {
    name: "registration-lease-believed-to-its-very-end",
    file: registration,
    find: "passedMs < this.#ttlMs - this.#marginMs &&",
    replace: "passedMs < this.#ttlMs * 1.5 &&",
    caughtBy: controlled,
    test: "wakes after its lease",
  },
  {
    name: "registration-wall-clock-not-looked-at",
    file: registration,
    find: " && Math.abs(wallAheadMs) <= this.#marginMs;",
    replace: " && Math.abs(wallAheadMs) >= 0;",
    caughtBy: controlled,
    test: "wall clock",
  },
  {
    name: "controller-lets-in-before-it-strips",
    file: "src/cluster/controller.ts",
    find: "const unclean = fenced && state.cleanEpoch !== state.lastBrokerEpoch;",
    replace: "const unclean = fenced && state.cleanEpoch === -2;",
    caughtBy: controlled,
    test: "when all were killed",
  },
  {
    name: "in-sync-set-takes-any-life-of-a-broker",
    file: "src/cluster/in-sync-change.ts",
    find: "registered?.createRevision !== brokerEpoch || stored",
    replace: "registered === undefined || stored",
    caughtBy: controlled,
    test: "only in the life",
  },
];
