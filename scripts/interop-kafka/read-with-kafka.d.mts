/** Base64; of more than 300 bytes only size and digest. */
export type ExpectedBytes = string | null | { readonly sizeBytes: number; readonly sha256: string };

export interface ExpectedRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: ExpectedBytes;
  readonly value: ExpectedBytes;
  readonly headers: readonly (readonly [key: string, value: ExpectedBytes])[];
}

export interface ExpectedBatch {
  readonly position: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  readonly crc: number;
  readonly compression: string;
  readonly timestampType: "CreateTime" | "LogAppendTime";
  readonly maxTimestamp: number;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly deleteHorizonMs?: number;
  readonly recordsCount: number;
  readonly records: readonly ExpectedRecord[];
}

export interface ExpectedSegment {
  readonly baseOffset: number;
  readonly sizeBytes: number;
  readonly batches: readonly ExpectedBatch[];
  readonly offsetIndex?: readonly (readonly [offset: number, position: number])[];
  readonly timeIndex?: readonly (readonly [timestamp: number, offset: number])[];
  readonly abortedTransactions?: readonly object[];
}

/** lastOffset −1: a producer of which the log holds control batches only. */
export interface ExpectedProducer {
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly coordinatorEpoch: number;
  readonly lastTimestamp: number;
  readonly currentTxnFirstOffset: number;
  readonly lastSequence: number;
  readonly lastOffset: number;
  readonly offsetDelta: number;
}

export interface ExpectedPartition {
  readonly topicId: string;
  readonly leaderEpochs: readonly (readonly [epoch: number, startOffset: number])[];
  readonly segments: readonly ExpectedSegment[];
  readonly snapshots: readonly { readonly offset: number; readonly producers: readonly ExpectedProducer[] }[];
}

export interface ExpectedDataFolder {
  readonly metaProperties: Readonly<Record<string, string>>;
  /** File name → partition folder → offset. */
  readonly checkpoints: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly partitions: Readonly<Record<string, ExpectedPartition>>;
}

export function readWithKafka(dataDir: string): Promise<ExpectedDataFolder>;
