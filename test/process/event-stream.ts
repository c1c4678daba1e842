// A reader of server-sent events and of lines, that waits for what is to come and then for how the stream ends.

import type { Readable } from "node:stream";

export interface StreamedEvent {
  readonly id?: string;
  readonly retry?: string;
  readonly data?: string;
}

/** Cuts a stream of text at `separator`. What stands after the last one is no whole part and is left out. */
export class StreamedParts {
  readonly parts: string[] = [];
  /** Resolves when the stream has ended: "complete" as HTTP says it, or "broken off". */
  readonly ended: Promise<"complete" | "broken off">;
  #waiting: { readonly enough: (parts: readonly string[]) => boolean; readonly resolve: () => void }[] = [];

  constructor(stream: Readable, separator: string) {
    this.ended = this.#read(stream, separator);
  }

  /** Resolves once `enough` holds of the parts so far; rejects if the stream ends before. */
  async until(enough: (parts: readonly string[]) => boolean): Promise<void> {
    if (enough(this.parts)) return;
    const reached = new Promise<void>((resolve) => this.#waiting.push({ enough, resolve }));
    const ended = this.ended.then((how) => {
      throw new Error(`the stream ended (${how}) after ${this.parts.length} parts`);
    });
    await Promise.race([reached, ended]);
  }

  async #read(stream: Readable, separator: string): Promise<"complete" | "broken off"> {
    let rest = "";
    try {
      for await (const chunk of stream.setEncoding("utf8")) {
        const pieces = (rest + (chunk as string)).split(separator);
        rest = pieces.pop() ?? "";
        this.parts.push(...pieces);
        const [reached, waiting] = partition(this.#waiting, ({ enough }) => enough(this.parts));
        this.#waiting = waiting;
        for (const { resolve } of reached) resolve();
      }
      return "complete";
    } catch {
      return "broken off";
    }
  }
}

function partition<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter((one) => !isFirst(one))];
}

/** An event as the stream has it, without the empty line that ends it. */
export function parsedEvent(text: string): StreamedEvent {
  const fields = text.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
  return Object.fromEntries(fields) as StreamedEvent;
}
