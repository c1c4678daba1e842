// Every setting of the broker, once: its default, bounds, unit and what it does. Flags, environment variables, the YAML file,
// the types and the printed table all come from here. Where values come from is load-config.ts.

interface IntegerSetting {
  readonly kind: "integer";
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  readonly help: string;
}
/** What a text must look like, and how to say so. */
interface TextForm {
  readonly pattern: RegExp;
  readonly says: string;
}
interface TextSetting {
  readonly kind: "text";
  readonly default: string;
  readonly form: TextForm;
  readonly help: string;
}
interface OptionalTextSetting {
  readonly kind: "optionalText";
  readonly default: undefined;
  readonly form: TextForm;
  readonly help: string;
}
interface ChoiceSetting<C extends string> {
  readonly kind: "choice";
  readonly default: C;
  readonly choices: readonly C[];
  readonly help: string;
}
interface SwitchSetting {
  readonly kind: "switch";
  readonly default: boolean;
  readonly help: string;
}
interface ListSetting {
  readonly kind: "list";
  readonly default: readonly string[];
  /** Of each element. */
  readonly form: TextForm;
  readonly help: string;
}

export type Setting =
  | IntegerSetting
  | TextSetting
  | OptionalTextSetting
  | ChoiceSetting<string>
  | SwitchSetting
  | ListSetting;

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

function integer(defaultValue: number, min: number, max: number, unit: string, help: string): IntegerSetting {
  return { kind: "integer", default: defaultValue, min, max, unit, help };
}
const bytes = (defaultValue: number, min: number, max: number, help: string) =>
  integer(defaultValue, min, max, "bytes", help);
const milliseconds = (defaultValue: number, min: number, max: number, help: string) =>
  integer(defaultValue, min, max, "ms", help);

const port = "(?:\\d{1,4}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])";
const path: TextForm = { pattern: /^[^\0]+$/, says: "a path" };
const address: TextForm = {
  pattern: new RegExp(`^(?:\\[[0-9a-fA-F:.]+\\]|[^:[\\]\\s]+):${port}$`),
  says: "host:port, like 127.0.0.1:8082 or [::1]:8082",
};
const url: TextForm = {
  pattern: /^https?:\/\/[^\s/]+$/,
  says: "a URL without a path, like https://broker.example.com",
};
const origin: TextForm = {
  pattern: /^[a-z][a-z0-9+.-]*:\/\/[^\s/]+$/,
  says: "an origin, like https://app.example.com",
};
const hostName: TextForm = { pattern: /^[^\s/:]+(?::\d+)?$/, says: "a host name" };

export const settingsTable = {
  dataDir: { kind: "text", default: "./data", form: path, help: "The folder that holds everything this broker keeps." },
  listen: {
    kind: "text",
    default: "127.0.0.1:8082",
    form: address,
    help: "The address and port to serve HTTP on; port 0 takes a free one.",
  },
  brokerId: integer(1, 0, 2 ** 31 - 1, "", "This broker's number; a data folder belongs to one number for ever."),
  advertisedUrl: {
    kind: "optionalText",
    default: undefined,
    form: url,
    help: "Where clients reach this broker, if that is not the listen address.",
  },
  logLevel: {
    kind: "choice",
    default: "info",
    choices: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    help: "The least severe events that are logged.",
  },
  autoCreateTopics: { kind: "switch", default: false, help: "Producing to a topic that does not exist makes it." },
  defaultPartitionCount: integer(1, 1, 10_000, "", "Partitions of a topic that is made without saying how many."),
  allowedOrigins: {
    kind: "list",
    default: [],
    form: origin,
    help: "Browser origins, beside the broker's own, that may call it.",
  },
  allowedHosts: {
    kind: "list",
    default: [],
    form: hostName,
    help: "Host names, beside loopback ones, that a request to a loopback listener may name.",
  },
  appendQueueBytesMax: bytes(
    32 * MiB,
    64 * KiB,
    4 * GiB,
    "Batches that may wait for one partition's disk; more is refused with 429.",
  ),
  appendGroupBytesMax: bytes(
    4 * MiB,
    2 * MiB, // above the default of max.message.bytes
    64 * MiB,
    "The most that one write to a partition holds; also the bound of max.message.bytes and of a torn write.",
  ),
  requestBytesInFlightMax: bytes(
    256 * MiB,
    1 * MiB,
    64 * GiB,
    "Request bodies that may be held at once; more is refused with 429.",
  ),
  maxBodyBytes: bytes(32 * MiB, 1 * KiB, 1 * GiB, "The largest request body, inflated; NDJSON bodies have no limit."),
  maxLineBytes: bytes(8 * MiB, 1 * KiB, 256 * MiB, "The longest line of an NDJSON body."),
  maxPageBytes: bytes(16 * MiB, 64 * KiB, 256 * MiB, "The most that one page of records may be asked to hold."),
  maxFrameBytes: bytes(
    16 * MiB,
    1 * KiB,
    1 * GiB,
    "The largest frame of a WebSocket; a larger one closes it with 1009.",
  ),
  maxWaitMs: milliseconds(
    55 * second,
    0,
    10 * minute,
    "The longest that a read waits; longer wishes are lowered to it.",
  ),
  maxPartitionsPerRead: integer(256, 1, 10_000, "", "The most partitions that one read covers."),
  decompressedBytesMax: bytes(64 * MiB, 1 * MiB, 1 * GiB, "The most that one compressed batch may inflate to."),
  idempotencyKeysMax: integer(10_000, 0, 1_000_000, "", "Idempotency-Keys that a partition remembers."),
  idempotencyWindowMs: milliseconds(10 * minute, 0, 7 * day, "How long an Idempotency-Key is remembered."),
  producerIdsMax: integer(100_000, 1, 10_000_000, "", "Idempotent producers that a partition remembers."),
  producerIdExpirationMs: milliseconds(day, minute, 365 * day, "How long a silent idempotent producer is remembered."),
  lowDiskBytes: bytes(256 * MiB, 0, 1024 * GiB, "Free space below which records are refused, before the disk is full."),
  lowDiskCheckMs: milliseconds(2 * second, 100, 10 * minute, "How often the free space is looked at."),
  retentionCheckMs: milliseconds(5 * minute, 100, day, "How often logs are looked through for segments to delete."),
  compactionCheckMs: milliseconds(15 * second, 100, day, "How often it is looked whether a log is due for compaction."),
  compactionPerSecondBytes: bytes(
    64 * MiB,
    64 * KiB,
    64 * GiB,
    "What compaction may read and write in a second, all logs together.",
  ),
  compactionKeyMapBytesMax: bytes(
    128 * MiB,
    64 * KiB,
    4 * GiB,
    "Memory for the keys of a log that is compacted, 32 bytes each; a log with more is done in several rounds.",
  ),
  groupPartitionCount: integer(
    50,
    1,
    10_000,
    "",
    "Partitions of __consumer_offsets, over which groups are spread; counts when the first group makes the topic.",
  ),
  groupMembersMax: integer(10_000, 1, 1_000_000, "", "Members that one group may have."),
  groupSessionTimeoutMs: milliseconds(
    45 * second,
    second,
    30 * minute,
    "How long a member may be silent before it is removed, if it does not say.",
  ),
  groupHeartbeatIntervalMs: milliseconds(5 * second, 10, hour, "How often members are asked to poll at least."),
  offsetsRetentionMs: milliseconds(
    7 * day,
    minute,
    10 * 365 * day,
    "How long committed offsets stay once nobody reads the topic in their group.",
  ),
  offsetsRetentionCheckMs: milliseconds(10 * minute, 100, day, "How often committed offsets are looked through."),
  checkpointIntervalMs: milliseconds(
    minute,
    100,
    hour,
    "How often recovery points are written; recovery scans what came after.",
  ),
  fileDeleteDelayMs: milliseconds(minute, 0, day, "How long deleted files stay for those who still read them."),
  recoveryConcurrency: integer(4, 1, 256, "", "Logs that are opened at once at start."),
  shutdownGraceMs: milliseconds(30 * second, 0, hour, "How long a shutdown waits for requests to finish."),
  requestIdleMs: milliseconds(10 * second, 100, 10 * minute, "How long a request body may pause."),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settingsTable;

type ValueOf<S extends Setting> = S extends IntegerSetting
  ? number
  : S extends TextSetting
    ? string
    : S extends OptionalTextSetting
      ? string | undefined
      : S extends ChoiceSetting<infer C>
        ? C
        : S extends SwitchSetting
          ? boolean
          : readonly string[];

export type Settings = { readonly [Name in SettingName]: ValueOf<(typeof settingsTable)[Name]> };

export const settingNames = Object.keys(settingsTable) as readonly SettingName[];

/** Where one setting at its bound would make another's promise empty. */
export const settingRules: readonly {
  readonly lower: SettingName;
  readonly upper: SettingName;
  readonly because: string;
}[] = [
  { lower: "maxBodyBytes", upper: "requestBytesInFlightMax", because: "else the largest body is always refused" },
  { lower: "maxFrameBytes", upper: "requestBytesInFlightMax", because: "else the largest frame is always refused" },
  { lower: "maxLineBytes", upper: "requestBytesInFlightMax", because: "else the longest line is always refused" },
];

/** maxWaitMs → --max-wait-ms */
export function flagName(name: string): string {
  return `--${words(name).join("-")}`;
}

/** maxWaitMs → MILLRACE_MAX_WAIT_MS */
export function environmentName(name: string): string {
  return `MILLRACE_${words(name).join("_").toUpperCase()}`;
}

function words(name: string): string[] {
  return name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
}

export const defaultSettings = Object.fromEntries(
  settingNames.map((name) => [name, settingsTable[name].default]),
) as unknown as Settings;
