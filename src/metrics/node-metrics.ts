// What Node itself tells (event loop, heap, garbage collection, process), by prom-client's collectors. Loaded at the first look at
// the metrics, since a broker that nobody watches should not pay for it at its start.

/** Gauges that are named like counters; promtool rejects them. */
const misnamed = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
] as const;

let collected: Promise<{ metrics(): Promise<string> }> | undefined;

/** The Prometheus text of Node's own metrics. */
export async function renderNodeMetrics(): Promise<string> {
  collected ??= collect();
  return (await collected).metrics();
}

async function collect(): Promise<{ metrics(): Promise<string> }> {
  const { Registry, collectDefaultMetrics } = await import("prom-client");
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  return registry;
}
