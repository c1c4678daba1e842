// The Clock of the machine.

import type { Clock, Timer } from "./clock.ts";

/** setTimeout takes no more; a longer delay fires at once, so longer waits are cut into such pieces. */
const timeoutMsMax = 2 ** 31 - 1;

export class NodeClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const dueMs = performance.now() + delayMs;
    let handle: NodeJS.Timeout;
    const arm = (restMs: number) => {
      handle = setTimeout(fired, Math.min(restMs, timeoutMsMax));
    };
    const fired = () => {
      const restMs = dueMs - performance.now();
      if (restMs > 0)
        arm(Math.ceil(restMs)); // Node counts whole milliseconds and may be a fraction early
      else run();
    };
    arm(Math.max(0, delayMs));
    return { cancel: () => clearTimeout(handle) };
  }
}
