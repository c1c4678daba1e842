// Query strings, read strictly: a name twice, bytes that are not UTF-8, or a name the route does not have is refused, not guessed.

import { nearestName } from "../nearest-name.ts";
import { BrokerError } from "../protocol/error-codes.ts";

export type Query = ReadonlyMap<string, string>;
const empty: Query = new Map();

export function parseQuery(text: string, known: readonly string[]): Query {
  if (text === "") return empty;
  const query = new Map<string, string>();
  const unknown: string[] = [];
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? "" : decode(pair.slice(equals + 1));
    if (query.has(name)) throw refused(`the query parameter ${JSON.stringify(name)} is given twice`, name);
    if (!known.includes(name)) unknown.push(name);
    query.set(name, value);
  }
  if (unknown.length > 0) throw unknownParameters(unknown, known);
  return query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw refused("the query is not percent-encoded UTF-8", undefined);
  }
}

function refused(detail: string, parameter: string | undefined): BrokerError {
  return new BrokerError("INVALID_REQUEST", detail, { fields: parameter === undefined ? {} : { parameter } });
}

function unknownParameters(unknown: readonly string[], known: readonly string[]): BrokerError {
  const first = unknown[0] ?? "";
  const nearest = nearestName(first, known);
  const hint =
    nearest !== undefined
      ? `did you mean ${nearest}?`
      : known.length === 0
        ? "this route has none"
        : `known are ${known.join(", ")}`;
  return new BrokerError("INVALID_REQUEST", `unknown query parameter ${JSON.stringify(first)}: ${hint}`, {
    fields: { unknown: unknown.slice(0, 10), hint },
  });
}

export function invalidParameter(name: string, reason: string): BrokerError {
  return refused(`the query parameter ${name} ${reason}`, name);
}

/** A whole number in decimal digits, within bounds. */
export function wholeNumberParameter(
  query: Query,
  name: string,
  bounds: { readonly min: number; readonly max: number },
): number | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (value >= bounds.min && value <= bounds.max) return value;
  const max = bounds.max === Number.MAX_SAFE_INTEGER ? "2^53-1" : bounds.max;
  throw invalidParameter(name, `must be a whole number from ${bounds.min} to ${max}`);
}

/** `?name` and `?name=true` are true. */
export function booleanParameter(query: Query, name: string): boolean {
  const text = query.get(name);
  if (text === undefined || text === "false") return false;
  if (text === "" || text === "true") return true;
  throw invalidParameter(name, "must be true or false");
}

export function choiceParameter<Choice extends string>(
  query: Query,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw invalidParameter(name, `must be one of ${choices.join(", ")}`);
  return choice;
}
