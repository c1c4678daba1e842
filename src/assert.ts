// A broken invariant stops the process: a log that went on after one could spread the damage.
// For what callers or clients can cause, use a verdict value or BrokerError instead.

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
