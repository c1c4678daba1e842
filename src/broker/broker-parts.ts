// What the broker's calls work with; broker.ts puts it together.

import type { MetadataImage } from "../cluster/metadata-image.ts";
import type { MetadataStore } from "../cluster/metadata-store.ts";
import type { Settings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import type { Logger } from "../io/logger.ts";
import type { Random } from "../io/random.ts";
import type { LogManager } from "../log/log-manager.ts";
import type { Codecs } from "../protocol/codecs.ts";
import type { Partitions } from "./partitions.ts";

export interface BrokerParts {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly codecs: Codecs;
  readonly logger: Logger;
  readonly store: MetadataStore;
  readonly image: MetadataImage;
  readonly logs: LogManager;
  readonly partitions: Partitions;
}
