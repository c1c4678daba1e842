// Takes an answer that is still being written apart: whole events or lines, as they come.

import { once } from "node:events";
import type { Readable } from "node:stream";

export interface ReceivedEvent {
  readonly event?: string;
  readonly id?: string;
  readonly retry?: number;
  /** Parsed. */
  readonly data?: ReceivedPage;
  readonly comment?: true;
}

/** A page, or the body of a problem. */
export interface ReceivedPage {
  readonly records?: readonly { readonly value: unknown; readonly partition?: number; readonly offset: number }[];
  readonly nextOffset?: number | string;
  readonly caughtUp?: boolean;
  readonly reset?: { readonly from: unknown; readonly to: unknown };
  readonly status?: number;
  readonly code?: string;
}

export class StreamReader {
  readonly #separator: string;
  #text = "";
  #ended = false;
  #failed: Error | undefined;
  #more: (() => void) | undefined;
  readonly #source: Readable;

  constructor(source: Readable, separator: "\n\n" | "\n") {
    this.#source = source;
    this.#separator = separator;
    source.setEncoding("utf8");
    source.on("data", (text: string) => {
      this.#text += text;
      this.#more?.();
    });
    source.on("end", () => {
      this.#ended = true;
      this.#more?.();
    });
    source.on("error", (error) => {
      this.#failed = error;
      this.#more?.();
    });
  }

  /** The next whole piece; undefined at the end. Rejects if the stream was broken off. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const end = this.#text.indexOf(this.#separator);
      if (end >= 0) {
        const piece = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + this.#separator.length);
        return piece;
      }
      if (this.#failed !== undefined) throw this.#failed;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#more = resolve;
      });
    }
  }

  async event(): Promise<ReceivedEvent | undefined> {
    const piece = await this.next();
    if (piece === undefined) return undefined;
    if (piece === ":") return { comment: true };
    const fields = new Map(piece.split("\n").map((line) => line.split(/: (.*)/s) as [string, string]));
    const [retry, data] = [fields.get("retry"), fields.get("data")];
    const [event, id] = [fields.get("event"), fields.get("id")];
    return {
      ...(event === undefined ? {} : { event }),
      ...(id === undefined ? {} : { id }),
      ...(retry === undefined ? {} : { retry: Number(retry) }),
      ...(data === undefined ? {} : { data: JSON.parse(data) as ReceivedPage }),
    };
  }

  /** The client goes away. */
  async close(): Promise<void> {
    if (this.#source.destroyed) return;
    this.#source.destroy();
    await once(this.#source, "close");
  }
}
