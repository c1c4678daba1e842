// The members of etcd, and which of them is asked now: one, until it fails; then the next, the failed one last of all.

import { assert } from "../assert.ts";
import type { Random } from "../io/random.ts";

const endpointsMax = 16;

export class EtcdEndpoints {
  readonly #origins: string[];

  /** Begins anywhere, so that not all brokers ask the same member. */
  constructor(urls: readonly string[], random: Random) {
    assert(urls.length >= 1 && urls.length <= endpointsMax, `${urls.length} endpoints of etcd`);
    const origins = [...new Set(urls.map((url) => new URL(url).origin))];
    for (const origin of origins) assert(/^https?:/.test(origin), `not an endpoint of etcd: ${origin}`);
    const first = Math.floor(random.fraction() * origins.length);
    this.#origins = [...origins.slice(first), ...origins.slice(0, first)];
  }

  get count(): number {
    return this.#origins.length;
  }

  get present(): string {
    return this.#origins[0]!;
  }

  /** Moves on, unless that was done already. */
  failed(origin: string): void {
    if (origin === this.present) this.#origins.push(this.#origins.shift()!);
  }
}
