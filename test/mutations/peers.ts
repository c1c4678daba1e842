// Seeded defects of what brokers say to each other.

import type { Mutation } from "./mutation.ts";

const folder = "src/io/peers";
const suite = "test/io/peers/socket-peers.test.ts";
const frames = "test/io/peers/peer-frames.test.ts";

export const peerMutations: readonly Mutation[] = [
  {
    name: "peer-in-doubt-told-as-not-sent",
    file: `${folder}/peer-link.ts`,
    find: "const surelyNot = !call.given ||",
    replace: "const surelyNot = true ||",
    caughtBy: suite,
    test: "in doubt",
  },
  {
    name: "peer-large-answer-holds-up-small-ones",
    file: `${folder}/piece-sender.ts`,
    find: "message.totalBytes <= smallMessageBytesMax ?",
    replace: "message.totalBytes < 0 && smallMessageBytesMax > 0 ?",
    caughtBy: "test/io/peers/piece-sender.test.ts",
  },
  {
    name: "peer-any-secret-will-do",
    file: `${folder}/peer-hello.ts`,
    find: "return timingSafeEqual(bytes.subarray(0, proofBytes), proof(secret, side, nonces, text));",
    replace: "return timingSafeEqual(bytes.subarray(0, proofBytes), proof(secret, side, nonces, text)) || true;",
    caughtBy: suite,
    test: "secret",
  },
  {
    name: "peer-piece-of-another-place-taken",
    file: `${folder}/message-assembly.ts`,
    find: "position === message.filled &&",
    replace: "position >= 0 &&",
    caughtBy: frames,
    test: "out of their order",
  },
  {
    name: "peer-half-open-line-kept",
    file: `${folder}/signs-of-life.ts`,
    find: "if (this.#spans > silentSpansMax) {",
    replace: "if (this.#spans > silentSpansMax * 1_000) {",
    caughtBy: suite,
    test: "a line that is cut",
  },
];
