// Apache Kafka's DumpLogSegments over any number of files, its text taken apart again. What the tool says on stderr, every
// batch it calls invalid and every line not understood here is a complaint: silence is the only pass.

import { resolve } from "node:path";
import { runJava } from "./kafka-classpath.mjs";

const tool = "kafka.tools.DumpLogSegments";
/** All files go in one argument, and Linux takes at most 128 KiB in one. */
const filesArgumentBytesMax = 100_000;
const base64 = "Base64Decoder";

const patterns = {
  dumping: /^Dumping (.+)$/,
  logStart: /^Log starting offset: \d+$/,
  batch:
    /^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: (-?\d+) lastSequence: (-?\d+) producerId: (-?\d+) producerEpoch: (-?\d+) partitionLeaderEpoch: (-?\d+) isTransactional: (true|false) isControl: (true|false) deleteHorizonMs: OptionalLong(?:\.empty|\[(\d+)\]) position: (\d+) (CreateTime|LogAppendTime): (-?\d+) size: (\d+) magic: (\d+) compresscodec: (\w+) crc: (\d+) isvalid: (true|false)$/,
  record:
    /^\| offset: (\d+) (?:CreateTime|LogAppendTime): (-?\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: (-?\d+) headerKeys: \[(.*)\](?: endTxnMarker: (\w+) coordinatorEpoch: -?\d+)?(?: key: (\S*))?(?: payload: (\S*))?$/s,
  offsetEntry: /^offset: (\d+) position: (\d+)$/,
  timeEntry: /^timestamp: (-?\d+) offset: (\d+)$/,
  abortedTransaction: /^version: \d+ producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)$/,
  producer:
    /^producerId: (-?\d+) producerEpoch: (-?\d+) coordinatorEpoch: (-?\d+) currentTxnFirstOffset: OptionalLong(?:\.empty|\[(\d+)\]) lastTimestamp: (-?\d+) (?:firstSequence: (-?\d+) lastSequence: (-?\d+) lastOffset: (\d+) offsetDelta: (\d+) timestamp: (-?\d+))?$/,
  emptyIndex: /^.+ is empty\.$/,
  saneIndex: /^(.+) (?:passed sanity check|is empty)\.$/,
  gapsIn: /^Non-consecutive offsets in (.+)$/,
  gap: /^ {2}(\d+) is followed by (\d+)$/,
  /** What the JVM itself may say. */
  jvm: /^(OpenJDK .* warning:|Picked up )/,
};

const readers = {
  batch(file, m) {
    const [baseOffset, lastOffset, recordsCount, baseSequence, lastSequence] = m.slice(1, 6).map(Number);
    const [producerEpoch, partitionLeaderEpoch] = [Number(m[7]), Number(m[8])];
    const [isTransactional, isControl, isValid] = [m[9] === "true", m[10] === "true", m[19] === "true"];
    const deleteHorizonMs = m[11] === undefined ? undefined : Number(m[11]);
    const [position, maxTimestamp, sizeBytes, magic] = [Number(m[12]), Number(m[14]), Number(m[15]), Number(m[16])];
    const producer = { producerId: BigInt(m[6]), producerEpoch, baseSequence, lastSequence };
    const flags = { isTransactional, isControl, isValid, magic, compression: m[17], timestampType: m[13] };
    const place = { position, baseOffset, lastOffset, sizeBytes, partitionLeaderEpoch, crc: Number(m[18]) };
    file.batches.push({ ...place, ...producer, ...flags, maxTimestamp, deleteHorizonMs, recordsCount, records: [] });
    return isValid ? undefined : `${file.path}: the batch at offset ${baseOffset} is not valid`;
  },
  record(file, m) {
    const bytes = (text, size) => (Number(size) === -1 || text === undefined ? null : Buffer.from(text, "base64"));
    const record = { offset: Number(m[1]), timestamp: Number(m[2]), sequence: Number(m[5]), headerKeys: m[6] };
    const batch = file.batches.at(-1);
    if (!batch) return `${file.path}: a record before the first batch`;
    batch.records.push({ ...record, key: bytes(m[8], m[3]), value: bytes(m[9], m[4]), endTxnMarker: m[7] });
    return undefined;
  },
  offsetEntry(file, m) {
    file.offsetIndex.push({ offset: Number(m[1]), position: Number(m[2]) });
  },
  timeEntry(file, m) {
    file.timeIndex.push({ timestamp: Number(m[1]), offset: Number(m[2]) });
  },
  abortedTransaction(file, m) {
    const [firstOffset, lastOffset, lastStableOffset] = m.slice(2, 5).map(Number);
    file.abortedTransactions.push({ producerId: BigInt(m[1]), firstOffset, lastOffset, lastStableOffset });
  },
  producer(file, m) {
    const [producerEpoch, coordinatorEpoch, lastTimestamp] = [Number(m[2]), Number(m[3]), Number(m[5])];
    const numbers = m.slice(6, 10).map(Number);
    const [firstSequence, lastSequence, lastOffset, offsetDelta] = m[6] === undefined ? [-1, -1, -1, 0] : numbers;
    const last = { firstSequence, lastSequence, lastOffset, offsetDelta, lastTimestamp };
    const currentTxnFirstOffset = m[4] === undefined ? -1 : Number(m[4]);
    file.producers.push({ producerId: BigInt(m[1]), producerEpoch, coordinatorEpoch, currentTxnFirstOffset, ...last });
  },
  logStart() {},
  emptyIndex() {},
};

/** Says what is wrong with the line, or undefined. */
function readLine(file, line) {
  for (const [kind, read] of Object.entries(readers)) {
    const match = patterns[kind].exec(line);
    if (match) return read(file, match);
  }
  return `${file.path}: ${line}`;
}

function readStdout(stdout, files, complaints) {
  let file;
  let cutRecord; // a line break in a header key cuts its record in two
  const giveUp = () => {
    if (cutRecord !== undefined) complaints.push(`${file.path}: ${cutRecord}`);
    cutRecord = undefined;
  };
  for (const line of stdout.split("\n")) {
    const dumping = patterns.dumping.exec(line);
    if (cutRecord !== undefined && (dumping || patterns.batch.test(line) || line.startsWith("| "))) giveUp();
    if (dumping) {
      const path = dumping[1];
      file = { path, batches: [], offsetIndex: [], timeIndex: [], abortedTransactions: [], producers: [] };
      files.set(path, file);
      continue;
    }
    const whole = cutRecord === undefined ? line : `${cutRecord}\n${line}`;
    if (whole.startsWith("| ") && !patterns.record.test(whole)) {
      cutRecord = whole;
      continue;
    }
    cutRecord = undefined;
    if (whole === "") continue;
    const complaint = file ? readLine(file, whole) : `before the first file: ${whole}`;
    if (complaint !== undefined) complaints.push(complaint);
  }
  giveUp();
}

/** Gaps are told apart: a cleaned log has them rightfully. */
function readStderr(stderr, gaps, complaints) {
  let path;
  for (const line of stderr.split("\n")) {
    const gapsIn = patterns.gapsIn.exec(line);
    const gap = patterns.gap.exec(line);
    if (gapsIn) path = gapsIn[1];
    else if (gap && path !== undefined) gaps.push({ path, offset: Number(gap[1]), nextOffset: Number(gap[2]) });
    else if (line !== "" && !patterns.jvm.test(line)) complaints.push(line);
  }
}

function inArguments(files) {
  const groups = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const file of files) {
    if (file.includes(",")) throw new Error(`DumpLogSegments cannot take ${file}: a comma separates its files`);
    bytes += Buffer.byteLength(file) + 1;
    if (bytes > filesArgumentBytesMax) {
      groups.push([]);
      bytes = Buffer.byteLength(file) + 1;
    }
    groups.at(-1).push(file);
  }
  return groups;
}

async function run(files, options, result, readStandardOutput) {
  for (const group of inArguments(files)) {
    const { exitCode, stdout, stderr } = await runJava(tool, ["--files", group.join(","), ...options]);
    readStandardOutput(stdout);
    readStderr(stderr, result.gaps, result.complaints);
    if (exitCode !== 0) result.complaints.push(`DumpLogSegments ended with ${exitCode}`);
  }
}

/** The check a starting Kafka makes to decide whether an index has to be made again. */
async function checkIndexes(files, result) {
  const indexes = files.filter((file) => /\.(index|timeindex)$/.test(file));
  const sane = new Set();
  await run(indexes, ["--index-sanity-check"], result, (stdout) => {
    for (const line of stdout.split("\n")) {
      const match = patterns.saneIndex.exec(line);
      if (match) sane.add(match[1]);
    }
  });
  const bad = indexes.filter((index) => !sane.has(index));
  if (bad.length > 0) result.complaints.push(`${bad.length} indexes did not pass the sanity check, first ${bad[0]}`);
}

/**
 * Dumps the files (.log, .index, .timeindex, .txnindex, .snapshot; an index needs its log beside it) with deep iteration,
 * and has each index verified against its log and checked for sanity. Paths in the result are absolute.
 */
export async function dumpLogSegments(files, { printDataLog = true } = {}) {
  const paths = files.map((file) => resolve(file));
  const result = { files: new Map(), gaps: [], complaints: [] };
  const print = ["--print-data-log", "--key-decoder-class", base64, "--value-decoder-class", base64];
  await run(paths, ["--deep-iteration", ...(printDataLog ? print : [])], result, (stdout) =>
    readStdout(stdout, result.files, result.complaints),
  );
  await checkIndexes(paths, result);
  const missing = paths.filter((path) => !result.files.has(path));
  if (missing.length > 0) result.complaints.push(`${missing.length} files were not dumped, first ${missing[0]}`);
  return result;
}
