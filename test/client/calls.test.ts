// Calls over HTTP: what is tried again and how, what the errors say, and the admin calls against a real broker.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Millrace } from "../../src/client/millrace.ts";
import { MillraceError } from "../../src/client/millrace-error.ts";
import { platformClock, platformRandom } from "../../src/client/platform.ts";
import { ClientWorld, problemResponse } from "./client-world.ts";

let world: ClientWorld;
beforeEach(async () => {
  world = await ClientWorld.start();
});
afterEach(() => world.stop());

const elapsedMs = async (work: Promise<unknown>): Promise<number> => {
  const start = world.server.clock.monotonicMs();
  await world.run(work);
  return world.server.clock.monotonicMs() - start;
};

describe("trying again", () => {
  test("waits as long as the broker asks, then at random and longer each time", async () => {
    let asked = 0;
    world.fault = () =>
      asked++ === 0 ? problemResponse(503, "BROKER_SHUTTING_DOWN", { retryAfterMs: 4321 }) : undefined;
    const waited = await elapsedMs(world.client().admin().cluster());
    expect(waited).toBe(4321);
    asked = 0;
    world.fault = () => (asked++ < 8 ? "refused" : undefined);
    const jittered = await elapsedMs(world.client().admin().cluster());
    expect(jittered).toBeGreaterThan(0);
    expect(jittered).toBeLessThan(50 * 2 ** 8);
  });

  test("honours the header too", async () => {
    let asked = 0;
    world.fault = () =>
      asked++ === 0 ? new Response("busy", { status: 503, headers: { "retry-after": "3" } }) : undefined;
    expect(await elapsedMs(world.client().admin().cluster())).toBe(3000);
  });

  test("ends with a deadline, telling the last cause", async () => {
    world.fault = () => "refused";
    const call = world.client({ requestTimeoutMs: 2_000 }).admin().cluster();
    await expect(world.run(call)).rejects.toMatchObject({
      code: "TIMED_OUT",
      retriable: true,
      cause: { code: "CONNECTION_FAILED", cause: { cause: { code: "ECONNREFUSED" } } },
    });
    expect(world.server.clock.monotonicMs()).toBeLessThanOrEqual(2_000);
  });

  test("does not try again what was refused for good", async () => {
    const call = world.client().admin().describeTopic("nowhere");
    await expect(world.run(call)).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION", status: 404 });
    expect(world.seen).toHaveLength(1);
  });

  test("asks the next broker at once, and stays there", async () => {
    const hosts: string[] = [];
    const client = world.client({
      urls: ["http://one", "http://two/path/"],
      fetch: async (url, init) => {
        hosts.push(url);
        if (url.startsWith("http://one")) return problemResponse(503, "BROKER_SHUTTING_DOWN", { retryAfterMs: 60_000 });
        return world.fetch(url.replace("/path", ""), init);
      },
    });
    expect(await elapsedMs(client.admin().cluster())).toBeLessThan(50);
    await world.run(client.admin().cluster());
    expect(hosts).toEqual(["http://one/v1/cluster", "http://two/path/v1/cluster", "http://two/path/v1/cluster"]);
  });

  test("a broker that is silent is given up after requestTimeoutMs", async () => {
    const fetch = (_url: string, { signal }: { signal: AbortSignal }): Promise<Response> =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const call = world.client({ fetch, requestTimeoutMs: 1_000 }).admin().cluster();
    await expect(world.run(call)).rejects.toMatchObject({
      code: "TIMED_OUT",
      cause: { message: "no answer came within 1000 ms" },
    });
  });

  test("a signal ends a call, also while it waits", async () => {
    world.fault = () => "refused";
    const abort = new AbortController();
    const call = world.client().admin().cluster({ signal: abort.signal });
    const refused = expect(call).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    await world.idle();
    abort.abort("enough");
    await refused;
    await expect(world.client().admin().cluster({ signal: abort.signal })).rejects.toMatchObject({ code: "ABORTED" });
  });
});

describe("answers that make no sense", () => {
  test.for([
    [new Response("<html>", { status: 200, headers: { "content-type": "text/html" } }), "text/html"],
    [new Response("<html>", { status: 404 }), "404"],
    [new Response('{"code":5}', { status: 400, headers: { "content-type": "application/problem+json" } }), "400"],
  ] as const)("%# are UNEXPECTED_ANSWER", async ([response, named]) => {
    world.fault = () => response;
    const error = await world.run(world.client().admin().cluster()).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MillraceError);
    expect(error).toMatchObject({ code: "UNEXPECTED_ANSWER", retriable: false });
    expect((error as Error).message).toContain(named);
  });

  test("half a body is asked for again", async () => {
    let asked = 0;
    world.fault = () =>
      asked++ === 0 ? new Response('{"clust', { headers: { "content-type": "application/json" } }) : undefined;
    expect(await world.run(world.client().admin().cluster())).toHaveProperty("clusterId");
  });
});

describe("the client", () => {
  test("needs an address that is one", () => {
    expect(() => new Millrace({})).toThrow("url");
    expect(() => new Millrace({ url: "localhost:8082" })).toThrow("no http://");
    expect(() => new Millrace({ urls: [] })).toThrow("url");
  });

  test("brings its token with every request", async () => {
    let turn = 0;
    const client = world.client({ auth: async () => `t${++turn}` });
    await world.run(client.admin().cluster());
    await world.run(client.admin().cluster());
    expect(world.seen.map(({ headers }) => headers["authorization"])).toEqual(["Bearer t1", "Bearer t2"]);
    await world.run(world.client({ auth: "fixed" }).admin().cluster());
    expect(world.seen[2]!.headers["authorization"]).toBe("Bearer fixed");
  });

  test("has time and chance of its own", async () => {
    expect(platformRandom.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(platformRandom.uuid()).not.toBe(platformRandom.uuid());
    expect(platformRandom.fraction()).toBeLessThan(1);
    const start = platformClock.monotonicMs();
    platformClock.setTimer(0, () => expect.unreachable()).cancel();
    await new Promise<void>((resolve) => platformClock.setTimer(5, resolve));
    expect(platformClock.monotonicMs()).toBeGreaterThan(start);
    expect(platformClock.nowMs()).toBeGreaterThan(Date.UTC(2020));
  });
});

describe("admin", () => {
  test("topics, from their making to their end", async () => {
    const admin = world.client().admin();
    const made = await world.run(admin.createTopic({ name: "a", partitionCount: 2, config: { "retention.ms": 1000 } }));
    expect(made).toMatchObject({ name: "a", partitionCount: 2, config: { "retention.ms": 1000 } });
    expect(await world.run(admin.createTopic({ name: "a", partitionCount: 2 }))).toMatchObject({
      topicId: made.topicId,
    });
    await expect(world.run(admin.createTopic({ name: "a", partitionCount: 3 }))).rejects.toMatchObject({
      code: "TOPIC_ALREADY_EXISTS",
      problem: { differences: expect.anything() },
    });
    await world.run(admin.createTopic({ name: "b" }));
    expect(await world.run(admin.listTopics({ limit: 1 }))).toMatchObject({ topics: [{ name: "a" }], next: "a" });
    expect(await world.run(admin.listTopics({ after: "a" }))).toMatchObject({ topics: [{ name: "b" }] });
    const altered = await world.run(admin.alterTopic("a", { partitionCount: 3, config: { "retention.ms": null } }));
    expect(altered).toMatchObject({ partitionCount: 3, config: {} });
    await world.server.produceNumbers("a", 1, 2, 3);
    expect(await world.run(admin.offsets("a"))).toMatchObject([{ offset: 3 }, { offset: 0 }, { offset: 0 }]);
    expect(await world.run(admin.deleteRecords("a", 0, 2))).toBe(2);
    expect(await world.run(admin.deleteRecords("a", 0, "latest"))).toBe(3);
    await world.run(admin.deleteTopic("a"));
    await expect(world.run(admin.deleteTopic("a"))).rejects.toMatchObject({ status: 404 });
  });

  test("a deletion whose answer was lost has happened", async () => {
    const admin = world.client().admin();
    await world.run(admin.createTopic({ name: "a" }));
    let asked = 0;
    world.fault = () => (asked++ === 0 ? "lostAnswer" : undefined);
    await world.run(admin.deleteTopic("a"));
    expect(asked).toBe(2);
  });
});
