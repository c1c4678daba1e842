// What createBroker takes. Everything but the folder has a default: the real clock, disk and randomness, and silence.

import type { Settings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import type { Random } from "../io/random.ts";
import type { LogObserver } from "../log/log-context.ts";
import type { Codecs } from "../protocol/codecs.ts";

export interface BrokerOptions {
  readonly dataDir: string;
  readonly settings?: Partial<Settings>;
  readonly clock?: Clock;
  readonly disk?: Disk;
  readonly random?: Random;
  readonly codecs?: Codecs;
  readonly logger?: Logger;
  /** Told of appends, syncs and what else the log counts. */
  readonly observer?: LogObserver;
}
