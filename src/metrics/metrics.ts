// The broker's metrics: children are bound once (`metrics.counter(name, labels)`), kept by who counts, and rendered on request in the
// Prometheus text format. Layers below http get a Metrics and know nothing of the format.

import {
  type CounterName,
  catalogue,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type MetricName,
} from "./catalogue.ts";
import { Counter, Gauge, Histogram } from "./instruments.ts";

type Instrument = Counter | Gauge | Histogram;
interface Child {
  readonly labels: Readonly<Record<string, string>>;
  readonly instrument: Instrument;
}

export class Metrics {
  readonly #families = new Map<MetricName, Map<string, Child>>();

  constructor() {
    for (const name of Object.keys(catalogue) as MetricName[]) {
      this.#families.set(name, new Map());
      // A metric without labels is there from the first look on, as 0: rate() needs to see it before its first event.
      if (catalogue[name].labels.length === 0) this.#child(name, {});
    }
  }

  /** The same child for the same labels. */
  counter<N extends CounterName>(name: N, labels: LabelsOf<N>): Counter {
    return this.#child(name, labels) as Counter;
  }
  gauge<N extends GaugeName>(name: N, labels: LabelsOf<N>): Gauge {
    return this.#child(name, labels) as Gauge;
  }
  histogram<N extends HistogramName>(name: N, labels: LabelsOf<N>): Histogram {
    return this.#child(name, labels) as Histogram;
  }

  /** Forgets every child that carries this topic: it was deleted. */
  forgetTopic(topic: string): void {
    for (const [name, children] of this.#families) {
      if (!catalogue[name].labels.includes("topic")) continue;
      for (const [key, child] of children) if (child.labels["topic"] === topic) children.delete(key);
    }
  }

  /** The Prometheus text format, version 0.0.4. */
  render(): string {
    const lines: string[] = [];
    for (const [name, children] of this.#families) {
      if (children.size === 0) continue;
      const { type, help } = catalogue[name];
      lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
      for (const child of children.values()) renderChild(lines, name, child);
    }
    lines.push("");
    return lines.join("\n");
  }

  #child(name: MetricName, labels: Readonly<Record<string, string>>): Instrument {
    const info = catalogue[name];
    const key = info.labels.map((label) => labels[label]).join("\u0000");
    const children = this.#families.get(name)!;
    const known = children.get(key);
    if (known !== undefined) return known.instrument;
    const instrument = newInstrument(name);
    children.set(key, { labels, instrument });
    return instrument;
  }
}

function newInstrument(name: MetricName): Instrument {
  const info = catalogue[name];
  if (info.type === "counter") return new Counter();
  return info.type === "gauge" ? new Gauge() : new Histogram(info.buckets ?? []);
}

function renderChild(lines: string[], name: string, child: Child): void {
  const labels = Object.entries(child.labels).map(([label, value]) => `${label}="${escapeLabel(value)}"`);
  const instrument = child.instrument;
  if (!(instrument instanceof Histogram)) {
    lines.push(`${name}${braces(labels)} ${sample(instrument.value)}`);
    return;
  }
  let below = 0;
  for (let bucket = 0; bucket < instrument.counts.length; bucket++) {
    below += instrument.counts[bucket]!;
    const bound = instrument.bounds[bucket];
    lines.push(`${name}_bucket${braces([...labels, `le="${bound === undefined ? "+Inf" : bound}"`])} ${below}`);
  }
  lines.push(`${name}_sum${braces(labels)} ${sample(instrument.sum)}`, `${name}_count${braces(labels)} ${below}`);
}

const braces = (labels: readonly string[]): string => (labels.length === 0 ? "" : `{${labels.join(",")}}`);
const sample = (value: number): string =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');
