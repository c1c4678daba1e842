export interface DumpedRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly sequence: number;
  /** All keys, separated by commas. The tool does not tell header values. */
  readonly headerKeys: string;
  /** null too when printDataLog is off. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** COMMIT or ABORT in a control batch. */
  readonly endTxnMarker: string | undefined;
}

export interface DumpedBatch {
  readonly position: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  readonly crc: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly isValid: boolean;
  readonly magic: number;
  readonly compression: string;
  readonly timestampType: "CreateTime" | "LogAppendTime";
  readonly maxTimestamp: number;
  readonly deleteHorizonMs: number | undefined;
  readonly recordsCount: number;
  readonly records: readonly DumpedRecord[];
}

/** A row without a batch (control batches only) has −1 in firstSequence, lastSequence and lastOffset. */
export interface DumpedProducer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly coordinatorEpoch: number;
  /** −1: none is open. */
  readonly currentTxnFirstOffset: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastOffset: number;
  readonly offsetDelta: number;
  readonly lastTimestamp: number;
}

/** One file; what its kind does not hold is empty. */
export interface DumpedFile {
  readonly path: string;
  readonly batches: readonly DumpedBatch[];
  readonly offsetIndex: readonly { readonly offset: number; readonly position: number }[];
  readonly timeIndex: readonly { readonly timestamp: number; readonly offset: number }[];
  readonly producers: readonly DumpedProducer[];
  readonly abortedTransactions: readonly {
    readonly producerId: bigint;
    readonly firstOffset: number;
    readonly lastOffset: number;
    readonly lastStableOffset: number;
  }[];
}

export interface Dump {
  /** By absolute path. */
  readonly files: ReadonlyMap<string, DumpedFile>;
  /** Two records that follow each other without their offsets doing so; only a cleaned log may have them. */
  readonly gaps: readonly { readonly path: string; readonly offset: number; readonly nextOffset: number }[];
  /** Empty: Kafka finds nothing wrong. */
  readonly complaints: readonly string[];
}

export function dumpLogSegments(files: readonly string[], options?: { readonly printDataLog?: boolean }): Promise<Dump>;
