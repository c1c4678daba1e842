import { describe, expect, test } from "vitest";
import { catalogue } from "../../src/metrics/catalogue.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { renderNodeMetrics } from "../../src/metrics/node-metrics.ts";

describe("the catalogue", () => {
  test.each(Object.entries(catalogue))("%s is named and bounded as Prometheus wants it", (name, info) => {
    expect(name).toMatch(/^millrace_[a-z_]+$/);
    expect(name.endsWith("_total")).toBe(info.type === "counter");
    expect(info.help).toMatch(/\.$/);
    const buckets = info.buckets ?? [];
    expect(buckets.length > 0).toBe(info.type === "histogram");
    expect([...buckets].sort((a, b) => a - b)).toEqual(buckets);
    for (const label of info.labels) expect(name).not.toContain(`_${label}_`);
  });
});

describe("metrics", () => {
  test("the same labels give the same child", () => {
    const metrics = new Metrics();
    const labels = { topic: "a", direction: "in" };
    metrics.counter("millrace_bytes_total", labels).inc(5);
    metrics.counter("millrace_bytes_total", { ...labels }).inc(2);
    expect(metrics.render()).toContain('\nmillrace_bytes_total{topic="a",direction="in"} 7\n');
  });

  test("what has no labels is there from the start, as zero", () => {
    expect(new Metrics().render()).toContain("\nmillrace_partitions_offline 0\n");
  });

  test("a gauge can ask for its value", () => {
    const metrics = new Metrics();
    let topics = 1;
    metrics.gauge("millrace_topics", {}).readFrom(() => topics);
    topics = 3;
    expect(metrics.render()).toContain("\nmillrace_topics 3\n");
  });

  test("a histogram's buckets are cumulative and include their bound", () => {
    const metrics = new Metrics();
    const group = metrics.histogram("millrace_append_group_batches", {});
    for (const batches of [1, 2, 3, 5000]) group.observe(batches);
    const text = metrics.render();
    expect(text).toContain('millrace_append_group_batches_bucket{le="1"} 1\n');
    expect(text).toContain('millrace_append_group_batches_bucket{le="2"} 2\n');
    expect(text).toContain('millrace_append_group_batches_bucket{le="4"} 3\n');
    expect(text).toContain('millrace_append_group_batches_bucket{le="1024"} 3\n');
    expect(text).toContain('millrace_append_group_batches_bucket{le="+Inf"} 4\n');
    expect(text).toContain("millrace_append_group_batches_sum 5006\nmillrace_append_group_batches_count 4\n");
  });

  test("label values are escaped", () => {
    const metrics = new Metrics();
    metrics.gauge("millrace_build_info", { version: 'a"\\\n', node: "20" }).set(1);
    expect(metrics.render()).toContain('millrace_build_info{version="a\\"\\\\\\n",node="20"} 1\n');
  });

  test("a deleted topic's series go", () => {
    const metrics = new Metrics();
    metrics.counter("millrace_records_produced_total", { topic: "gone" }).inc();
    metrics.counter("millrace_records_produced_total", { topic: "kept" }).inc();
    metrics.forgetTopic("gone");
    expect(metrics.render()).not.toContain("gone");
    expect(metrics.render()).toContain("kept");
  });

  test("Node's own metrics come without the three that promtool rejects", async () => {
    const text = await renderNodeMetrics();
    expect(text).toContain("nodejs_eventloop_lag_seconds");
    expect(text).not.toMatch(/nodejs_active_\w+_total/);
  });
});
