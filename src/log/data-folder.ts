// What a data folder says about itself, beside its partitions: whose it is (meta.properties), and how the last process left it
// (.kafka_cleanshutdown). Names and forms are Apache Kafka's, so that its tools find their way.

import { type Disk, DiskError } from "../io/disk.ts";
import { readFileIfThere, replaceFile } from "./checkpoint-file.ts";

const metaName = "meta.properties";
const cleanMarkerName = ".kafka_cleanshutdown";

export interface FolderIdentity {
  readonly clusterId: string;
  readonly brokerId: number;
  readonly directoryId: string;
}

/** The folder belongs to another broker or cluster, or cannot be told: starting on it could destroy data. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** undefined for a folder that no broker has used yet. */
export async function readIdentity(disk: Disk, directory: string): Promise<FolderIdentity | undefined> {
  const content = await readFileIfThere(disk, `${directory}/${metaName}`);
  if (!content) return undefined;
  const properties = new Map<string, string>();
  for (const line of new TextDecoder().decode(content).split("\n")) {
    const equals = line.indexOf("=");
    if (!line.startsWith("#") && equals > 0)
      properties.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  const version = properties.get("version");
  if (version !== "1")
    throw new DataFolderError(`${directory}/${metaName}: version ${version ?? "(none)"} is not known to this broker`);
  const clusterId = properties.get("cluster.id");
  const brokerId = Number(properties.get("node.id"));
  if (!clusterId || !Number.isSafeInteger(brokerId))
    throw new DataFolderError(`${directory}/${metaName}: cluster.id or node.id is missing`);
  return { clusterId, brokerId, directoryId: properties.get("directory.id") ?? "" };
}

export async function writeIdentity(disk: Disk, directory: string, identity: FolderIdentity): Promise<void> {
  const lines = [
    "version=1",
    `cluster.id=${identity.clusterId}`,
    `node.id=${identity.brokerId}`,
    `directory.id=${identity.directoryId}`,
  ];
  await replaceFile(disk, directory, metaName, new TextEncoder().encode(`${lines.join("\n")}\n`));
}

/**
 * Whether the last process closed every log in order. The mark is gone, durably, when this returns: a crash while loading is
 * unclean again (KAFKA-10471).
 */
export async function takeCleanMarker(disk: Disk, directory: string): Promise<boolean> {
  const path = `${directory}/${cleanMarkerName}`;
  if (!(await disk.stat(path))) return false;
  await disk.removeFile(path);
  await disk.syncDir(directory);
  return true;
}

export async function writeCleanMarker(disk: Disk, directory: string, brokerEpoch: number): Promise<void> {
  const content = JSON.stringify({ version: 0, brokerEpoch });
  await replaceFile(disk, directory, cleanMarkerName, new TextEncoder().encode(content));
}

const partitionMetadataName = "partition.metadata";

/** Which topic a partition's folder belongs to; undefined when the file is missing, cannot be read or is not legal. */
export async function readTopicId(disk: Disk, directory: string): Promise<string | undefined> {
  const content = await disk.readFile(`${directory}/${partitionMetadataName}`).catch((error: unknown) => {
    if (error instanceof DiskError) return undefined;
    throw error;
  });
  return content && /^version: 0\ntopic_id: ([A-Za-z0-9_-]{22})\n?$/.exec(new TextDecoder().decode(content))?.[1];
}

export async function writeTopicId(disk: Disk, directory: string, topicId: string): Promise<void> {
  await replaceFile(
    disk,
    directory,
    partitionMetadataName,
    new TextEncoder().encode(`version: 0\ntopic_id: ${topicId}\n`),
  );
}
