// Stops writes before the disk is full: below lowDiskBytes free every append is refused, reads and retention go on,
// and as soon as there is room again appends are taken. A log that met ENOSPC would be offline until a restart.

import type { Clock, Timer } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import { BrokerError } from "../protocol/error-codes.ts";

export class DiskGuard {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #directory: string;
  readonly #lowDiskBytes: number;
  readonly #lowDiskCheckMs: number;
  #timer: Timer | undefined;
  #stopped = false;
  /** True while appends are refused. */
  low = false;
  freeBytes = 0;
  totalBytes = 0;

  constructor(options: {
    disk: Disk;
    clock: Clock;
    logger: Logger;
    directory: string;
    lowDiskBytes: number;
    lowDiskCheckMs: number;
  }) {
    this.#disk = options.disk;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#directory = options.directory;
    this.#lowDiskBytes = options.lowDiskBytes;
    this.#lowDiskCheckMs = options.lowDiskCheckMs;
  }

  /** Looks once, then every lowDiskCheckMs until stop. */
  async start(): Promise<void> {
    await this.check();
    if (this.#stopped) return;
    this.#timer = this.#clock.setTimer(this.#lowDiskCheckMs, () => void this.start());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async check(): Promise<void> {
    try {
      const { freeBytes, totalBytes } = await this.#disk.space(this.#directory);
      this.freeBytes = freeBytes;
      this.totalBytes = totalBytes;
    } catch (error) {
      this.#logger.warn({ err: error }, "the free space of the data folder cannot be read");
      return;
    }
    const low = this.freeBytes < this.#lowDiskBytes;
    if (low === this.low) return;
    this.low = low;
    const fields = { freeBytes: this.freeBytes, lowDiskBytes: this.#lowDiskBytes, directory: this.#directory };
    if (low)
      this.#logger.error(
        fields,
        "the disk is almost full: appends are refused until there is room, reads and retention go on",
      );
    else this.#logger.info(fields, "the disk has room again: appends are taken");
  }

  refusal(): BrokerError {
    return new BrokerError(
      "KAFKA_STORAGE_ERROR",
      "the broker's disk is almost full; it takes records again when there is room",
      {
        fields: { freeBytes: this.freeBytes, limit: { name: "lowDiskBytes", value: this.#lowDiskBytes } },
      },
    );
  }
}
