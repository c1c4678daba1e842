// Seeded defects of src/broker.

import type { Mutation } from "./mutation.ts";

const poll = "src/broker/poll.ts";
const wait = "src/broker/poll-wait.ts";
const places = "src/broker/poll-places.ts";
const groupLogs = "src/broker/group-logs.ts";
const pollTests = "test/broker/poll.test.ts";
const newsTests = "test/broker/poll-news.test.ts";

export const brokerMutations: readonly Mutation[] = [
  {
    name: "group-log-spreads-a-change-over-batches",
    file: groupLogs,
    find: "if (size <= batchBytesMax) add(change, size);",
    replace: "if (size < 0) add(change, size);",
    caughtBy: "test/broker/group-logs.test.ts",
  },
  {
    name: "poll-commits-beyond-the-end",
    file: poll,
    find: "refuseBeyondLogEnd(this.#parts, call.commit ?? []);",
    replace: "refuseBeyondLogEnd(this.#parts, []);",
    caughtBy: pollTests,
  },
  {
    name: "poll-loses-news-of-its-own-call",
    file: wait,
    find: "    this.#sentEpoch = this.#call.memberEpoch ??",
    replace: "    this.#hasNews = false;\n    this.#sentEpoch = this.#call.memberEpoch ??",
    caughtBy: newsTests,
  },
  {
    name: "poll-lets-go-on-a-heartbeat",
    file: wait,
    find: "...wishes, commit, positions, owned, forRecords };",
    replace: "...wishes, commit, positions, owned, forRecords: true };",
    caughtBy: newsTests,
  },
  {
    name: "poll-keeps-nothing-alive",
    file: wait,
    find: "      this.#armKeepAlive();\n    }\n    this.#parked",
    replace: "    }\n    this.#parked",
    caughtBy: pollTests,
  },
  {
    name: "poll-stops-listening-never",
    file: wait,
    find: "    this.#stopListening();\n",
    replace: "",
    caughtBy: pollTests,
  },
  {
    name: "poll-reads-on-from-a-refused-commit",
    file: places,
    find: "of joined.notCommitted) this.#asked.delete(",
    replace: "of joined.notCommitted.slice(0, 0)) this.#asked.delete(",
    caughtBy: pollTests,
  },
];
