// Seeded defects of src/consumer-groups.

import type { Mutation } from "./mutation.ts";

const reconciliation = "src/consumer-groups/reconciliation.ts";
const member = "src/consumer-groups/member.ts";
const membership = "src/consumer-groups/membership.ts";
const group = "src/consumer-groups/group.ts";
const turn = "src/consumer-groups/group-turn.ts";
const offsets = "src/consumer-groups/offsets.ts";
const records = "src/consumer-groups/group-records.ts";
const model = "test/consumer-groups/group-model.test.ts";
const scenarios = "test/consumer-groups/scenarios.test.ts";
const shard = "test/consumer-groups/group-shard.test.ts";
const bytes = "test/consumer-groups/group-records.test.ts";
const commits = "src/consumer-groups/commits.ts";
const host = "src/consumer-groups/shard-host.ts";
const coordinator = "src/consumer-groups/coordinator.ts";
const shell = "test/consumer-groups/coordinator.test.ts";

export const consumerGroupsMutations: readonly Mutation[] = [
  {
    name: "group-assigns-what-another-holds",
    file: reconciliation,
    find: "partitions.filter((partition) => !mine?.has(partition));\n    const free = missing.filter((partition) => !heldByAnother(topicId, partition));",
    replace:
      "partitions.filter((partition) => !mine?.has(partition));\n    const free = missing.filter((partition) => heldByAnother !== undefined);",
    caughtBy: model,
  },
  {
    name: "group-revokes-without-waiting",
    file: reconciliation,
    find: "  if (pendingRevocation.size > 0) {\n    return",
    replace: "  if (pendingRevocation.size < 0) {\n    return",
    caughtBy: scenarios,
  },
  {
    name: "group-lost-reply-fences",
    file: reconciliation,
    find: "return ownsNothing ? assignmentEpoch : sentEpoch;",
    replace: "return ownsNothing ? assignmentEpoch : assignmentEpoch + 0 * sentEpoch;",
    caughtBy: scenarios,
  },
  {
    name: "group-take-over-does-not-fence-polls",
    file: member,
    find: "return joinsOf(sentEpoch) === member.metadata.joins && epoch >=",
    replace: "return epoch >=",
    caughtBy: scenarios,
  },
  {
    name: "group-take-over-does-not-fence-commits",
    file: member,
    find: "if (joinsOf(sentEpoch) !== member.metadata.joins || epoch > memberEpoch)",
    replace: "if (epoch > memberEpoch)",
    caughtBy: model,
  },
  {
    name: "group-commit-from-before-the-assignment",
    file: member,
    find: "assignedAt !== undefined && assignedAt <= epoch ?",
    replace: "assignedAt !== undefined ?",
    caughtBy: shard,
  },
  {
    name: "group-join-at-the-old-target-epoch",
    file: membership,
    find: "newcomer(group.epoch)",
    replace: "newcomer(group.assignmentEpoch)",
    caughtBy: shard,
  },
  {
    name: "group-away-member-forgets-its-epoch",
    file: membership,
    find: "  if (current.memberEpoch >= 0) return current;\n",
    replace: "  if (current.memberEpoch >= -2) return current;\n",
    caughtBy: shard,
  },
  {
    name: "group-joins-begin-anew-with-the-instance",
    file: membership,
    find: "joins: (former?.metadata.joins ?? 0) + 1",
    replace: "joins: (existing?.metadata.joins ?? 0) + 1",
    caughtBy: scenarios,
  },
  {
    name: "group-heartbeat-lets-go",
    file: membership,
    find: "if (!request.forRecords && request.owned === undefined) return () => false;",
    replace: "",
    caughtBy: scenarios,
  },
  {
    name: "group-new-subscription-keeps-the-target",
    file: membership,
    find: "  turn.rebalanceIfChanged(group, !alike);\n}",
    replace: "  turn.rebalanceIfChanged(group, alike && !alike);\n}",
    caughtBy: scenarios,
  },
  {
    name: "group-owner-kept-after-release",
    file: group,
    find: "        owners.delete(partition);\n        this.releases++;",
    replace: "        this.releases++;",
    caughtBy: model,
  },
  {
    name: "group-nobody-woken-by-a-release",
    file: turn,
    find: "if (hasFreePartition(group, member)) this.wake(",
    replace: "if (!hasFreePartition(group, member)) this.wake(",
    caughtBy: scenarios,
  },
  {
    name: "group-late-commit-lowers",
    file: offsets,
    find: "context.memberEpoch <= same.memberEpoch",
    replace: "context.memberEpoch < same.memberEpoch",
    caughtBy: scenarios,
  },
  {
    name: "group-new-topic-inherits-offsets",
    file: offsets,
    find: "held?.topicId === context.topicId ? held : undefined;",
    replace: "held;",
    caughtBy: shard,
  },
  {
    name: "group-record-loses-the-joins",
    file: records,
    find: "joins = reader.int32();",
    replace: "joins = reader.int32() & 1;",
    caughtBy: bytes,
  },
  {
    name: "group-answer-before-the-commit",
    file: host,
    find: "    await this.#committed();\n    granted(reply);",
    replace: "    granted(reply);",
    caughtBy: shell,
  },
  {
    name: "group-answer-without-records-does-not-wait",
    file: host,
    find: "    await this.#committed();\n    granted(reply);",
    replace: "    if (this.#staged !== undefined) await this.#committed();\n    granted(reply);",
    caughtBy: shell,
  },
  {
    name: "group-view-shows-what-is-not-committed",
    file: host,
    find: "    await this.#committed();\n    return seen;",
    replace: "    return seen;",
    caughtBy: shell,
  },
  {
    name: "group-failed-append-keeps-the-state",
    file: host,
    find: "    this.#loaded = undefined;\n    this.#flying = undefined;",
    replace: "    this.#flying = undefined;",
    caughtBy: shell,
  },
  {
    name: "group-failed-append-forgets-who-gathered",
    file: host,
    find: "const waiting = [this.#flying, this.#staged];",
    replace: "const waiting = [this.#flying];",
    caughtBy: shell,
  },
  {
    name: "group-two-appends-under-way",
    file: host,
    find: "if (isFirst && !this.#flying) queueMicrotask",
    replace: "if (isFirst) queueMicrotask",
    caughtBy: shell,
  },
  {
    name: "group-load-arms-no-sessions",
    file: host,
    find: "    shard.loaded(this.#now());\n",
    replace: "",
    caughtBy: shell,
  },
  {
    name: "group-load-keeps-offsets-of-gone-topics",
    file: host,
    find: "for (const { topic, topicId } of goneTopics(shard)) this.#turn(",
    replace: "for (const { topic, topicId } of goneTopics(shard).slice(1)) this.#turn(",
    caughtBy: shell,
  },
  {
    name: "group-reload-tells-nobody",
    file: host,
    find: "    this.#surroundings.reloaded();\n",
    replace: "",
    caughtBy: shell,
  },
  {
    name: "group-deleted-topic-takes-the-offsets-of-a-new-one",
    file: commits,
    find: "if (committed.topicId === null || committed.topicId === topicId) drop(",
    replace: "if (committed.topicId !== topicId || committed.topicId === topicId) drop(",
    caughtBy: shell,
  },
  {
    name: "group-not-where-kafka-looks-for-it",
    file: coordinator,
    find: "hash === -(2 ** 31) ? 0 : Math.abs(hash) % shardCount",
    replace: "(hash & 0x7fffffff) % shardCount",
    caughtBy: shell,
  },
];
