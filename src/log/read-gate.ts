// Readers run beside each other; a change that they must not see half done runs alone. It waits for those under way, and those
// that come meanwhile wait for it.

export class ReadGate {
  #readers = 0;
  #quiet: (() => void) | undefined;
  #change: Promise<void> | undefined;

  async read<T>(read: () => Promise<T>): Promise<T> {
    while (this.#change) await this.#change;
    this.#readers += 1;
    try {
      return await read();
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#quiet?.();
    }
  }

  /** Shut at once, unless another change is: who comes after sees what `change` leaves. `onShut` may hurry those who are inside. */
  async alone<T>(change: () => Promise<T>, onShut = () => {}): Promise<T> {
    while (this.#change) await this.#change;
    let open = () => {};
    this.#change = new Promise((resolve) => {
      open = resolve;
    });
    try {
      onShut();
      if (this.#readers > 0)
        await new Promise<void>((resolve) => {
          this.#quiet = resolve;
        });
      return await change();
    } finally {
      this.#quiet = undefined;
      this.#change = undefined;
      open();
    }
  }
}
