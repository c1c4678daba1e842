// `millrace log truncate`: for a partition that is offline because its log is damaged, when what is behind the damage is given up.
// Works on a stopped broker's folder. Without --yes it only says what is wrong.

import { MetadataImage } from "../cluster/metadata-image.ts";
import { SingleNodeStore } from "../cluster/single-node-store.ts";
import { defaultSettings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import { offsetCheckpointNames, readOffsets } from "../log/checkpoint-file.ts";
import { takeCleanMarker } from "../log/data-folder.ts";
import { IndexMemory } from "../log/index-memory.ts";
import { type LogContext, silentObserver } from "../log/log-context.ts";
import { recoverFolder } from "../log/log-restart.ts";
import { LogCorruptError } from "../log/recovery.ts";
import { topicConfig } from "../log/topic-config.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { partitionFolderName } from "../protocol/topic-partition.ts";

const indexMemoryBytesMax = 32 * 1024 * 1024;

export interface TruncateLog {
  readonly dataDir: string;
  readonly topic: string;
  readonly partition: number;
  /** Cut; otherwise only look. */
  readonly confirmed: boolean;
}

export interface TruncateIo {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly codecs: Codecs;
  readonly logger: Logger;
}

/** What was found or done, as a sentence for the operator. Rejects when the folder is in use or has no such partition. */
export async function truncateLog(
  { dataDir, topic, partition, confirmed }: TruncateLog,
  io: TruncateIo,
): Promise<string> {
  const lock = await io.disk.lock(dataDir);
  try {
    const config = await configOf(dataDir, topic, partition, io);
    const name = partitionFolderName(topic, partition);
    const identity = { ...config, topic, partition, directory: `${dataDir}/${name}` };
    const input = { identity, config: topicConfig(config.overrides), clean: false };
    const known = await checkpointsOf(io.disk, dataDir, name);
    if (confirmed) await takeCleanMarker(io.disk, dataDir);
    const damage = await tryRecovery(io, { ...input, ...known, recoveryPoint: 0 });
    if (!damage) return `${name} is not damaged; there is nothing to truncate`;
    if (!confirmed) return `${damage}\nGive --yes to cut ${name} there; what is cut off is kept beside, as *.corrupt`;
    const recovered = await recoverFolder(contextOf(io), {
      ...input,
      ...known,
      recoveryPoint: 0,
      truncateCorruption: true,
    });
    await Promise.all(recovered.segments.map((segment) => segment.close()));
    return `${damage}\n${name} was cut and holds offsets ${recovered.logStartOffset} to ${recovered.logEndOffset} now`;
  } finally {
    await lock.unlock();
  }
}

async function configOf(dataDir: string, topic: string, partition: number, io: TruncateIo) {
  const store = await SingleNodeStore.open({ ...io, directory: `${dataDir}/metadata` });
  const image = await MetadataImage.follow(store);
  const found = image.topic(topic);
  image.close();
  await store.close();
  if (!found || partition >= found.partitionCount)
    throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `${dataDir} has no partition ${partition} of a topic ${topic}`);
  return { topicId: found.topicId, overrides: found.config };
}

async function checkpointsOf(disk: Disk, dataDir: string, name: string) {
  const read = async (file: string) => (await readOffsets(disk, dataDir, file).catch(() => undefined))?.get(name);
  return {
    highWatermark: await read(offsetCheckpointNames.highWatermark),
    logStartOffset: await read(offsetCheckpointNames.logStart),
    cleanedTo: await read(offsetCheckpointNames.cleaner),
  };
}

/** The damage, if there is any. */
async function tryRecovery(io: TruncateIo, input: Parameters<typeof recoverFolder>[1]): Promise<string | undefined> {
  try {
    const recovered = await recoverFolder(contextOf(io), input);
    await Promise.all(recovered.segments.map((segment) => segment.close()));
    return undefined;
  } catch (error) {
    if (error instanceof LogCorruptError) return error.message;
    throw error;
  }
}

function contextOf(io: TruncateIo): LogContext {
  return {
    ...io,
    observer: silentObserver,
    settings: defaultSettings,
    indexMemory: new IndexMemory(indexMemoryBytesMax),
    diskGuard: { low: false, refusal: () => new BrokerError("KAFKA_STORAGE_ERROR", "the disk is full") },
  };
}
