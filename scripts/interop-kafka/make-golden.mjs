// Makes test/golden/kafka anew: data/, a data folder a real Kafka wrote, and expected/, what Kafka's own classes read
// in it. Needs a JDK and Maven; takes half a minute.

import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runJava } from "./kafka-classpath.mjs";
import { readWithKafka } from "./read-with-kafka.mjs";

const target = join(dirname(fileURLToPath(import.meta.url)), "../../test/golden/kafka");

/** JSON with a line for each thing that fits in one: short to read and to diff. */
function format(value, indent = "") {
  const short = JSON.stringify(value);
  if (short.length + indent.length <= 160 || typeof value !== "object" || value === null) return short;
  const deeper = `${indent} `;
  const lines = Array.isArray(value)
    ? value.map((item) => format(item, deeper))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${format(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${lines.map((line) => deeper + line).join(",\n")}\n${indent}${close}`;
}

/** Everything but Kafka's own lock file; that one is empty and belongs to whoever has the folder open. */
async function copyFolder(from, to) {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isDirectory()) await copyFolder(join(from, entry.name), join(to, entry.name));
    else if (entry.name !== ".lock") await copyFile(join(from, entry.name), join(to, entry.name));
  }
}

const scratch = await mkdtemp(join(tmpdir(), "millrace-golden-"));
try {
  const data = join(scratch, "data");
  const { exitCode, stderr } = await runJava("WriteFolders", [data, scratch], "warn");
  if (exitCode !== 0) throw new Error(`WriteFolders ended with ${exitCode}:\n${stderr}`);
  for (const name of ["data", "expected"]) await rm(join(target, name), { recursive: true, force: true });
  await copyFolder(data, join(target, "data"));
  const { partitions, ...whole } = await readWithKafka(data);
  await mkdir(join(target, "expected"));
  await writeFile(join(target, "expected", "data-folder.json"), `${format(whole)}\n`);
  for (const [name, partition] of Object.entries(partitions)) {
    await writeFile(join(target, "expected", `${name}.json`), `${format(partition)}\n`);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
