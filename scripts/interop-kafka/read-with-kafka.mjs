// Kafka's own reading of a data folder, as java/ReadFolders.java prints it.

import { runJava } from "./kafka-classpath.mjs";

/** Everything in the folder: checkpoints, and per partition its epochs, batches, records, index entries and snapshot rows. */
export async function readWithKafka(dataDir) {
  const { exitCode, stdout, stderr } = await runJava("ReadFolders", [dataDir]);
  if (exitCode !== 0) throw new Error(`Kafka cannot read ${dataDir}:\n${stderr}`);
  return JSON.parse(stdout);
}
