// A bench child as it sees itself: answers the calls of its parent one by one, and ends when it is told to or left alone.

export type Calls = Readonly<Record<string, (argument: never) => Promise<unknown> | unknown>>;

interface Call {
  readonly id: number;
  readonly call: string;
  readonly argument: never;
}

export function answerParent(calls: Calls & { readonly stop: () => Promise<void> | void }): void {
  process.on("message", async ({ id, call, argument }: Call) => {
    try {
      const run = calls[call];
      if (run === undefined) throw new Error(`there is no call ${call}`);
      process.send?.({ id, value: await run(argument) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.stack : String(error) });
    }
    if (call === "stop") process.disconnect();
  });
  process.on("disconnect", () => process.exit());
}

/** What a server child has used and done since it started. */
export interface ServerCounts {
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly syncs: number;
  readonly batches: number;
}

export function countsOf(work: { readonly syncs: number; readonly batches: number }): ServerCounts {
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss(), ...work };
}

const restMs = 500;

/** Resident memory once nothing is left to collect or to give back to the system. Needs --expose-gc. */
export async function restingRssBytes(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    await new Promise((resolve) => setTimeout(resolve, restMs));
    globalThis.gc?.();
  }
  return process.memoryUsage.rss();
}
