// A bench child as its parent sees it: a process of its own, asked and answered over Node's IPC channel.
// The other end is child-side.ts.

import { type ChildProcess, fork } from "node:child_process";

export type ChildName = "broker-child" | "floor-child" | "load-child" | "group-child" | "streams-child";

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #asked = 0;

  constructor(name: ChildName, nodeFlags: readonly string[] = []) {
    const module = new URL(`../${name}.js`, import.meta.url);
    this.#process = fork(module, { env: { ...process.env, UV_THREADPOOL_SIZE: "16" }, execArgv: [...nodeFlags] });
    this.#process.on("message", (reply: Reply) => this.#answered(reply));
    this.#process.on("exit", (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${name} ended with ${code}`));
      this.#waiting.clear();
    });
  }

  ask<T>(call: string, argument: object = {}): Promise<T> {
    const id = this.#asked++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.send({ id, call, argument });
    });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    await this.ask("stop");
    await ended;
  }

  #answered({ id, value, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }
}
