// What a run of the log may be asked to do, as data that can be printed, drawn and repeated.

import type { TopicOverrides } from "./log-history.ts";

/** One batch of a step; those of one step are sent at the same time. */
export interface SendSketch {
  /** How many bytes each record has, about. */
  readonly sizes: readonly number[];
  /** Idempotent, the next sequence of this producer; without: plain. */
  readonly producer?: number;
  /** Begins a new epoch of the producer. */
  readonly newEpoch?: boolean;
  /** Leaves out so many sequences: to be refused. */
  readonly gap?: number;
  /** An epoch below the producer's: to be refused. */
  readonly oldEpoch?: boolean;
  /** An Idempotency-Key, by number; used once each. */
  readonly key?: number;
  /** How far from the log end: 0 is taken if nothing comes in between, 1000 must be refused. */
  readonly expectedOffsetOff?: number;
  /** Sent twice at the same time. */
  readonly twice?: boolean;
}

export type Step =
  | { readonly do: "create"; readonly topic: string; readonly overrides?: TopicOverrides }
  | { readonly do: "delete"; readonly topic: string }
  | { readonly do: "send"; readonly topic: string; readonly batches: readonly SendSketch[] }
  /** Sends again what has no answer or was refused, and the last `window` acknowledged batches of each producer. */
  | { readonly do: "retry"; readonly topic: string; readonly window?: number }
  /** Removal up to a part of the log: 1 is the high watermark. */
  | { readonly do: "deleteRecords"; readonly topic: string; readonly part: number }
  | { readonly do: "retention" }
  | { readonly do: "flush"; readonly topic: string }
  | { readonly do: "configure"; readonly topic: string; readonly overrides: TopicOverrides }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "checkSpace" }
  | { readonly do: "check" }
  | { readonly do: "restart" };
