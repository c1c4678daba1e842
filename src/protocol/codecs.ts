// The two native needs of the byte formats, as a port: protocol stays pure, io (or a browser) brings them.

/** The compression codecs of a RecordBatch, by the number in its attributes. */
export const compressionCodecs = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
export type CompressionCodec = (typeof compressionCodecs)[number];

export interface Codecs {
  /** CRC-32C (Castagnoli) as an unsigned number; "123456789" gives 0xe3069283. */
  crc32c(bytes: Uint8Array): number;
  /**
   * Inflates the records part of a batch. More than `maxBytes` of output, or input that is not of this codec, throws a
   * CodecError before more than about `maxBytes` were allocated.
   */
  decompress(codec: CompressionCodec, bytes: Uint8Array, maxBytes: number): Uint8Array;
}

export class CodecError extends Error {
  override readonly name = "CodecError";
  /** "tooLarge": more than maxBytes; "corrupt": not of this codec, or cut short. */
  readonly kind: "tooLarge" | "corrupt";
  constructor(kind: "tooLarge" | "corrupt", message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
