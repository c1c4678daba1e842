// Where the broker is to be found now. Clients wait here while it is down, so that nobody has to guess how long.

export class BrokerAddress {
  #url: string | undefined;
  #waiting: ((url: string | undefined) => void)[] = [];
  #closed = false;

  up(url: string): void {
    this.#url = url;
    for (const resolve of this.#waiting.splice(0)) resolve(url);
  }

  down(): void {
    this.#url = undefined;
  }

  /** There will be no broker any more. */
  close(): void {
    this.#closed = true;
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }

  /** The broker's URL, as soon as there is one; undefined once there will be none. */
  async current(): Promise<string | undefined> {
    if (this.#closed) return undefined;
    if (this.#url !== undefined) return this.#url;
    return await new Promise((resolve) => this.#waiting.push(resolve));
  }
}
