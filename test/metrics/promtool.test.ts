// Prometheus' own judge of a page of metrics, over one that a broker which has seen every kind of request gives.

import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { catalogue } from "../../src/metrics/catalogue.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { TestServer } from "../http/test-server.ts";
import { needs } from "../required-tools.ts";

const check = (page: string) => spawnSync("promtool", ["check", "metrics"], { input: page, encoding: "utf8" });

needs("promtool").describe("promtool check metrics", () => {
  test("finds nothing in a broker's metrics", async () => {
    const server = await TestServer.start();
    await server.createTopic("with.dots-and_more", 2);
    await server.produceNumbers("with.dots-and_more", 1, 2, 3);
    await server.valuesOf("with.dots-and_more");
    await server.post("/v1/topics/nowhere/records", { records: [{ value: 1, timestamp: 2 ** 52 }], acks: 0 });
    const page = (await server.get("/metrics")).body;
    await server.stop();
    expect(page).toContain("millrace_bytes_total");
    expect(page).toContain("nodejs_heap_size_total_bytes");
    const { status, stdout, stderr } = check(page);
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });

  test("nor in any metric of the catalogue", () => {
    const metrics = new Metrics();
    for (const [name, { type, labels }] of Object.entries(catalogue)) {
      const values = Object.fromEntries(labels.map((label) => [label, 'a "quoted" \\ value\n']));
      (metrics[type] as (name: string, labels: object) => unknown).call(metrics, name, values);
    }
    const { status, stdout, stderr } = check(metrics.render());
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });

  test("finds what is wrong, so that silence means something", () => {
    expect(check("# TYPE requests counter\nrequests 1\n").status).not.toBe(0);
  });
});
