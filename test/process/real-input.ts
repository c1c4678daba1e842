// Real input: tables that the npm package vega-datasets brings.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "../../node_modules/vega-datasets/data");

export interface Flight {
  readonly delay: number;
  readonly distance: number;
}

export interface NamedFlight extends Flight {
  readonly origin: string;
}

/** 20,000 flights within the United States in 2001, in the order of their departure. */
export function namedFlights(): NamedFlight[] {
  return JSON.parse(readFileSync(join(folder, "flights-20k.json"), "utf8")) as NamedFlight[];
}

/** 200,000 flights, as the text of one each: delay, distance and time of day, and some numbers that end in ".0". */
export function manyFlightTexts(): string[] {
  const text = readFileSync(join(folder, "flights-200k.json"), "utf8").trim();
  return text
    .slice(2, -2)
    .split("},{")
    .map((fields) => `{${fields}}`);
}

/** The lines of a CSV file, its header first. */
export function weatherLines(): string[] {
  return readFileSync(join(folder, "seattle-weather.csv"), "utf8").trimEnd().split("\n");
}
