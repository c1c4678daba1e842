// What a bench gives: figures for people, each with its goal where there is one, and the samples they were made from.

export interface Figure {
  readonly what: string;
  readonly measured: string;
  /** What the floor reached in the same run. */
  readonly floor?: string;
  readonly goal?: string;
  readonly met?: boolean;
  readonly note?: string;
}

export interface Sample {
  readonly case: string;
  readonly subject: string;
  readonly run: number;
  readonly metric: string;
  readonly value: number;
}

export class Figures {
  readonly bench: string;
  readonly figures: Figure[] = [];
  readonly samples: Sample[] = [];

  constructor(bench: string) {
    this.bench = bench;
  }

  add(figure: Figure): void {
    this.figures.push(figure);
    const { what, measured, floor, goal, met } = figure;
    const verdict = goal === undefined ? "" : `  [goal ${goal}: ${met ? "met" : "missed"}]`;
    process.stdout.write(`  ${what}: ${measured}${floor === undefined ? "" : `  (floor ${floor})`}${verdict}\n`);
  }

  sample(name: string, subject: string, run: number, values: Readonly<Record<string, number>>): void {
    for (const [metric, value] of Object.entries(values))
      this.samples.push({ case: name, subject, run, metric, value });
  }

  median(name: string, subject: string, metric: string): number {
    return median(
      this.samples
        .filter((sample) => sample.case === name && sample.subject === subject && sample.metric === metric)
        .map(({ value }) => value),
    );
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** 12,345 above a thousand, three digits below. */
export function number(value: number): string {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
}

export const percent = (ratio: number): string => `${(ratio * 100).toFixed(0)} %`;
export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;
