// Producer state as a file, <exclusive end offset, 20 digits>.snapshot, in Apache Kafka's form: version i16 = 1, CRC-32C of what
// follows, row count, rows of 46 bytes. Kafka writes a producer's last batch only and on loading keeps the last row it meets;
// ours writes up to five rows a producer, oldest first, so that both read it and ours keeps the whole window.

import type { Disk } from "../io/disk.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { incrementSequence, noSequence } from "../protocol/record-batch.ts";
import { replaceSynced } from "./checkpoint-file.ts";
import { offsetOfFile, segmentFileName } from "./file-names.ts";
import type { ProducerBatch, ProducerEntry, ProducerState } from "./producer-state.ts";

const headerBytes = 10;
const crcFrom = 6;
const rowBytes = 46;
const version = 1;
const noCoordinatorEpoch = -1;
const noTransaction = -1n;

export function encodeProducerSnapshot(entries: Iterable<ProducerEntry>, codecs: Codecs): Uint8Array {
  const rows: { entry: ProducerEntry; batch: ProducerBatch }[] = [];
  for (const entry of entries) for (const batch of entry.batches) rows.push({ entry, batch });
  const bytes = new Uint8Array(headerBytes + rows.length * rowBytes);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, version);
  view.setInt32(crcFrom, rows.length);
  rows.forEach(({ entry, batch }, i) => {
    const at = headerBytes + i * rowBytes;
    view.setBigInt64(at, entry.producerId);
    view.setInt16(at + 8, entry.producerEpoch);
    view.setInt32(at + 10, batch.lastSequence);
    view.setBigInt64(at + 14, BigInt(batch.lastOffset));
    view.setInt32(at + 22, batch.lastOffset - batch.firstOffset);
    view.setBigInt64(at + 26, BigInt(batch.timestamp));
    view.setInt32(at + 34, noCoordinatorEpoch);
    view.setBigInt64(at + 38, noTransaction);
  });
  view.setUint32(2, codecs.crc32c(bytes.subarray(crcFrom)));
  return bytes;
}

/** undefined when the bytes are damaged: take an older snapshot then. `seenMs`: ages count from now. */
export function decodeProducerSnapshot(
  bytes: Uint8Array,
  codecs: Codecs,
  seenMs: number,
): readonly ProducerEntry[] | undefined {
  if (bytes.byteLength < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getInt32(crcFrom);
  const sound =
    view.getInt16(0) === version &&
    bytes.byteLength === headerBytes + count * rowBytes &&
    view.getUint32(2) === codecs.crc32c(bytes.subarray(crcFrom));
  if (!sound) return undefined;
  const entries = new Map<bigint, ProducerEntry>();
  for (let i = 0; i < count; i++) {
    const at = headerBytes + i * rowBytes;
    const producerId = view.getBigInt64(at);
    const producerEpoch = view.getInt16(at + 8);
    const lastSequence = view.getInt32(at + 10);
    const lastOffset = Number(view.getBigInt64(at + 14));
    const offsetDelta = view.getInt32(at + 22);
    if (lastSequence === noSequence) continue; // Kafka's row of a producer that has only ended transactions
    const batch: ProducerBatch = {
      firstSequence: incrementSequence(lastSequence, 2 ** 31 - offsetDelta),
      lastSequence,
      firstOffset: lastOffset - offsetDelta,
      lastOffset,
      timestamp: Number(view.getBigInt64(at + 26)),
    };
    const held = entries.get(producerId);
    const batches = held && held.producerEpoch === producerEpoch ? [...held.batches, batch] : [batch];
    entries.set(producerId, { producerId, producerEpoch, batches, seenMs });
  }
  return [...entries.values()];
}

/** Synced when it returns, but for the file's name: sync the directory. */
export async function writeProducerSnapshot(
  disk: Disk,
  directory: string,
  endOffset: number,
  state: ProducerState,
  codecs: Codecs,
): Promise<void> {
  const content = encodeProducerSnapshot(state.entries(), codecs);
  await replaceSynced(disk, directory, segmentFileName(endOffset, ".snapshot"), content);
}

/** The end offsets of the snapshots in a partition's folder, newest first. */
export async function snapshotOffsets(disk: Disk, directory: string): Promise<number[]> {
  const offsets = (await disk.list(directory)).map(({ name }) => offsetOfFile(name, ".snapshot"));
  return offsets.filter((offset) => offset !== undefined).sort((a, b) => b - a);
}

export async function removeSnapshots(
  disk: Disk,
  directory: string,
  unwanted: (endOffset: number) => boolean,
): Promise<void> {
  for (const offset of await snapshotOffsets(disk, directory))
    if (unwanted(offset)) await disk.removeFile(`${directory}/${segmentFileName(offset, ".snapshot")}`);
}
