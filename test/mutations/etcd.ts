// Seeded defects of the store over etcd.

import type { Mutation } from "./mutation.ts";

const client = "src/cluster/etcd-client.ts";
const store = "src/cluster/etcd-store.ts";
const watch = "src/cluster/etcd-watch.ts";
const refusal = "src/cluster/etcd-refusal.ts";
const storeSuite = "test/cluster/etcd-store.test.ts";
const watchSuite = "test/cluster/etcd-watch.test.ts";

export const etcdMutations: readonly Mutation[] = [
  {
    name: "etcd-transaction-in-doubt-sent-again",
    file: store,
    find: "const write: CallRules = { repeatable: false,",
    replace: "const write: CallRules = { repeatable: true,",
    caughtBy: storeSuite,
    test: "in doubt and not sent again",
  },
  {
    name: "etcd-full-disk-told-as-not-done",
    file: refusal,
    find: 'error.message.includes("too many requests")) return',
    replace: "true) return",
    caughtBy: storeSuite,
    test: "the quota is reached",
  },
  {
    name: "etcd-compare-asked-of-one-member",
    file: store,
    find: ": nothing,\n      failure: nothing,",
    replace: ": [],\n      failure: [],",
    caughtBy: storeSuite,
    test: "only compares",
  },
  {
    name: "etcd-past-is-believed",
    file: client,
    find: "if (revision < revisionBefore) {",
    replace: "if (revision < 0) {",
    caughtBy: storeSuite,
    test: "went back in time",
  },
  {
    name: "etcd-range-pages-of-many-revisions",
    file: "src/cluster/etcd-range.ts",
    find: "const pinned = revision === undefined ?",
    replace: "const pinned = revision === undefined || pageKeys > 0 ?",
    caughtBy: storeSuite,
    test: "pages of a range",
  },
  {
    name: "etcd-lease-taken-by-another",
    file: store,
    find: "if (!(error instanceof EtcdRefusal && error.isLeaseTaken && draws < leaseDrawsMax)) throw error;",
    replace:
      "if (error instanceof EtcdRefusal && error.isLeaseTaken && draws < leaseDrawsMax) return lease;\n        throw error;",
    caughtBy: storeSuite,
    test: "under another number",
  },
  {
    name: "etcd-watch-misses-a-delete-at-the-compaction",
    file: watch,
    find: "Math.max(1, this.#nextRevision - 1)",
    replace: "this.#nextRevision",
    caughtBy: watchSuite,
    test: "one revision earlier",
  },
  {
    name: "etcd-watch-believes-an-answer-about-progress",
    file: watch,
    find: ' && result.watch_id !== "-1"',
    replace: "",
    caughtBy: watchSuite,
    test: "silent stream is asked",
  },
  {
    name: "etcd-watch-tells-a-fragment",
    file: watch,
    find: "if (!result.fragment) this.#flush();",
    replace: "this.#flush();",
    caughtBy: watchSuite,
    test: "told whole",
  },
  {
    name: "etcd-watch-tells-twice",
    file: watch,
    find: "if (this.#isOver || revision < this.#nextRevision) return;",
    replace: "if (this.#isOver) return;",
    caughtBy: watchSuite,
    test: "ends within a revision",
  },
  {
    name: "etcd-watch-stays-on-a-silent-stream",
    file: watch,
    find: "if (this.#heard === heardBefore)",
    replace: "if (this.#heard < heardBefore)",
    caughtBy: watchSuite,
    test: "silent stream is asked",
  },
];
