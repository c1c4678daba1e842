// test/golden/kafka: a data folder Kafka wrote, and Kafka's own reading of it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExpectedDataFolder, ExpectedPartition } from "../../scripts/interop-kafka/read-with-kafka.mjs";

const golden = fileURLToPath(new URL("../golden/kafka", import.meta.url));

/** Read only: copy it before anything is opened in it. */
export const goldenData = join(golden, "data");

export const goldenTopics = [
  "append-time",
  "codecs",
  "compacted",
  "edges",
  "producers",
  "segments",
  "transactions",
  "untouched",
  "__transaction_state",
] as const;

/** Of partition 0. */
export function expectedPartition(topic: string): ExpectedPartition {
  return read(`${topic}-0`) as ExpectedPartition;
}

export function expectedCheckpoints(): ExpectedDataFolder["checkpoints"] {
  return (read("data-folder") as ExpectedDataFolder).checkpoints;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(join(golden, "expected", `${name}.json`), "utf8"));
}
