// Values of the metadata store: JSON values, kept as copies that nobody can change.

import { assert } from "../assert.ts";

/** Metadata is shallow; deeper means that something else was put in by mistake. */
const depthMax = 64;

/** The JSON text of a value that JSON can hold as it is; anything else is a caller's bug. */
export function jsonText(value: unknown): string {
  assertJson(value, 0);
  return JSON.stringify(value);
}

/** The value of a JSON text, frozen all through. */
export function frozenJson(text: string): unknown {
  return deepFreeze(JSON.parse(text));
}

export function deepFreeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}

function assertJson(value: unknown, depth: number): void {
  assert(depth <= depthMax, `a stored value nests more than ${depthMax} deep`);
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    assert(Number.isFinite(value), `a stored value holds the number ${value}`);
    return;
  }
  assert(typeof value === "object", `a stored value holds a ${typeof value}`);
  if (Array.isArray(value)) {
    for (const member of value) assertJson(member, depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  assert(prototype === Object.prototype || prototype === null, "a stored value holds an object that is not plain");
  // JSON leaves members out that are undefined; so does the copy.
  for (const member of Object.values(value)) if (member !== undefined) assertJson(member, depth + 1);
}
