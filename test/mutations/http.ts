// Seeded defects of src/http: of its WebSockets.

import type { Mutation } from "./mutation.ts";

const window = "src/http/websocket/ack-window.ts";
const group = "src/http/websocket/group-subscription.ts";
const contract = "test/http/websocket/contract.test.ts";
const flow = "test/http/websocket/flow.test.ts";

export const httpMutations: readonly Mutation[] = [
  {
    name: "websocket-window-of-bytes-not-counted",
    file: window,
    find: "this.bytes += delivery.bytes;",
    replace: "this.bytes += 0 * delivery.bytes;",
    caughtBy: flow,
    test: "is never exceeded",
  },
  {
    name: "websocket-ack-beyond-delivered",
    file: "src/http/websocket/subscription.ts",
    find: "if (nextOffset > cursor.position) throw beyondDelivered(cursor, nextOffset);",
    replace: "if (nextOffset > cursor.position + 1) throw beyondDelivered(cursor, nextOffset);",
    caughtBy: contract,
    test: "an ack beyond what was delivered",
  },
  {
    name: "websocket-acked-before-committed",
    file: group,
    find: "    this.#pumpAll();\n    this.#polls.wake();",
    replace:
      "    this.#committed({ notCommitted: [] } as unknown as PollAnswer, [...this.#acks.values()]);\n    this.#pumpAll();\n    this.#polls.wake();",
    caughtBy: contract,
    test: "commits by its acks",
  },
  {
    name: "websocket-revoked-before-acked",
    file: group,
    find: "if (holding.revoking === undefined || !holding.cursor.unacked.isEmpty || this.#acks.has(key)) continue;",
    replace: "if (holding.revoking === undefined) continue;",
    caughtBy: contract,
    test: "goes to another member once",
  },
  {
    name: "websocket-stalled-reader-is-buffered",
    file: "src/http/websocket/frame-sender.ts",
    find: "if (this.bufferedBytes < socketBufferedBytesMax) return false;",
    replace: "if (this.bufferedBytes < 64 * socketBufferedBytesMax) return false;",
    caughtBy: flow,
    test: "is held at its limit",
  },
  {
    name: "websocket-each-tail-reads-for-itself",
    file: "src/http/websocket/partition-feed.ts",
    find: "if (known !== undefined) {",
    replace: "if (known !== undefined && known.readers.size < 2) {",
    caughtBy: flow,
    test: "1,000 tails",
  },
  {
    name: "websocket-id-in-use-taken-again",
    file: "src/http/websocket/socket-session.ts",
    find: "if (!this.#ids.has(id) && !this.#subscriptions.has(id)) return;",
    replace: "if (!this.#ids.has(id)) return;",
    caughtBy: contract,
    test: "an id in use",
  },
];
