// Asks Apache Kafka's DumpLogSegments whether a data folder is one of Kafka's: node verify.mjs <data folder>
// Ends with 0 if it has no complaint, 1 if it has, 2 if it could not be asked. The broker has to be stopped.

import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { dumpLogSegments } from "./dump-log-segments.mjs";

const suffixes = /\.(log|index|timeindex|txnindex|snapshot)$/;
const complaintsShownMax = 100;

async function segmentFiles(dataDir) {
  const folders = (await readdir(dataDir, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const isPartition = (name) => /-\d+$/.test(name);
  const files = [];
  for (const { name } of folders.filter((entry) => isPartition(entry.name))) {
    const inFolder = await readdir(join(dataDir, name));
    files.push(...inFolder.filter((file) => suffixes.test(file)).map((file) => join(dataDir, name, file)));
  }
  return files.sort();
}

/** The partitions a cleaner has been at: there, and only there, offsets may be missing. */
async function cleanedPartitions(dataDir) {
  const text = await readFile(join(dataDir, "cleaner-offset-checkpoint"), "utf8").catch((error) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const lines = text.split("\n").slice(2).filter(Boolean);
  return new Set(lines.map((line) => line.split(" ").slice(0, 2).join("-")));
}

async function verify(dataDir) {
  const files = await segmentFiles(dataDir);
  if (files.length === 0) throw new Error(`${dataDir} holds no partition folder with segments`);
  const dump = await dumpLogSegments(files);
  const cleaned = await cleanedPartitions(dataDir);
  const gaps = dump.gaps.filter(({ path }) => !cleaned.has(basename(dirname(path))));
  const complaints = [
    ...dump.complaints,
    ...gaps.map(({ path, offset, nextOffset }) => `${path}: ${offset} is followed by ${nextOffset}`),
  ];
  const batches = [...dump.files.values()].flatMap((file) => file.batches);
  const records = batches.reduce((sum, batch) => sum + batch.records.length, 0);
  const seen = `${files.length} files, ${batches.length} batches, ${records} records`;
  const shown = complaints.slice(0, complaintsShownMax);
  if (complaints.length > shown.length) shown.push(`… and ${complaints.length - shown.length} more`);
  const verdict = complaints.length === 0 ? "Kafka has no complaint" : `Kafka has ${complaints.length} complaints:`;
  process.stdout.write(`${[`${seen}: ${verdict}`, ...shown].join("\n")}\n`);
  return complaints.length === 0 ? 0 : 1;
}

const [dataDir] = process.argv.slice(2);
if (dataDir === undefined) {
  process.stderr.write("usage: npm run interop:kafka -- <data folder>\n");
  process.exitCode = 2;
} else {
  process.exitCode = await verify(dataDir).catch((error) => {
    process.stderr.write(`${error.message}\n`);
    return 2;
  });
}
