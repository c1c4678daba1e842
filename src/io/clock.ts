// The clock and timers. Everything below main takes a Clock, so that a simulation can own time.

export interface Clock {
  /** Wall-clock milliseconds since the epoch. May jump; only for timestamps that users see, never for order or deadlines. */
  nowMs(): number;
  /** Milliseconds on a clock that never goes back; for deadlines and durations. Its zero means nothing. */
  monotonicMs(): number;
  /** Calls `run` once, not before `delayMs` have passed. Any delay is honoured, also above 2^31−1. */
  setTimer(delayMs: number, run: () => void): Timer;
}

export interface Timer {
  /** After this `run` will not be called. May be called any number of times. */
  cancel(): void;
}
