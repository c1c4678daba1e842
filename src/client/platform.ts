// What the client needs of the world besides fetch: time and chance. The only file here that touches their globals; tests
// pass their own.

/** A timer that has been set. */
export interface ClientTimer {
  /** After this it will not run. May be called any number of times. */
  cancel(): void;
}

/** Time as the client sees it. */
export interface ClientClock {
  /** Milliseconds since the epoch, for the timestamps of records. */
  nowMs(): number;
  /** Milliseconds on a clock that never goes back, for deadlines. */
  monotonicMs(): number;
  /** Calls `run` once, not before `delayMs` have passed. */
  setTimer(delayMs: number, run: () => void): ClientTimer;
}

/** Chance as the client needs it. */
export interface ClientRandom {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** Differs from every other one ever given. */
  uuid(): string;
}

const timerMsMax = 2 ** 31 - 1;

export const platformClock: ClientClock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, delayMs), timerMsMax));
    return { cancel: () => clearTimeout(timer) };
  },
};

export const platformRandom: ClientRandom = {
  fraction: () => Math.random(),
  uuid: () => {
    // crypto.randomUUID is missing on pages that were not served securely; getRandomValues is everywhere.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  },
};
