// Whatever is sent to a consumer group: a definite problem that says what is wrong, and the group is as it was.

import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { memberToFind, memberToUse } from "../../src/http/group-names.ts";
import type { Exchange } from "../../src/http/route.ts";
import { json, msgpack, TestServer } from "./test-server.ts";

let server: TestServer;
let memberEpoch: number;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createTopic("t", 2);
  await server.produceNumbers("t", 1, 2, 3);
  memberEpoch = (await server.post(poll, { topics: ["t"] })).json().memberEpoch;
  await server.post("/v1/groups/idle/offsets", { positions: [{ topic: "t", partition: 0, nextOffset: 1 }] });
});
afterAll(() => server.stop());

const poll = "/v1/groups/g/members/m/poll";
const offsets = "/v1/groups/idle/offsets";
const reset = "/v1/groups/idle/offsets/reset";
const at = (nextOffset: unknown, more: object = {}) => ({ topic: "t", partition: 0, nextOffset, ...more });

interface Refused {
  readonly status?: number;
  readonly code?: string;
  readonly contains?: string;
  readonly limit?: string;
}

async function refused(url: string, payload: string | Buffer | object, expected: Refused, headers = json) {
  const before = await groups();
  const answer = await server.post(url, payload, headers);
  const problem = answer.json();
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(problem.status, answer.body).toBe(expected.status ?? 400);
  expect(problem.code, answer.body).toBe(expected.code ?? "INVALID_REQUEST");
  if (expected.contains !== undefined) expect(problem.detail).toContain(expected.contains);
  if (expected.limit !== undefined) expect(problem.limit).toMatchObject({ name: expected.limit });
  expect(answer.body.length).toBeLessThan(5000);
  expect(await groups()).toBe(before);
}

/** All that is known of all groups. */
async function groups(): Promise<string> {
  const bodies = ["/v1/groups", "/v1/groups/g", "/v1/groups/g/offsets", "/v1/groups/idle/offsets"].map(async (url) => {
    return (await server.get(url)).body;
  });
  return (await Promise.all(bodies)).join("\n");
}

describe("the body of a poll", () => {
  test.each<[string, unknown, Refused]>([
    ["no object", [], { contains: "an object" }],
    ["null", null, { contains: "an object" }],
    ["nothing: a first poll needs topics", {}, { contains: "topics is missing" }],
    ["an unknown field", { topics: ["t"], memberepoch: 1 }, { contains: "did you mean memberEpoch" }],
    ["a field of another system", { topics: ["t"], groupInstance: "x" }, { contains: "groupInstance" }],
    ["topics that are no list", { topics: "t" }, { contains: "topics must be an array" }],
    ["a topic that is no text", { topics: ["t", 1] }, { contains: "topics[1] must be a string" }],
    ["no topic at all", { topics: [] }, { contains: "DELETE" }],
    ["a topic twice", { topics: ["t", "t"] }, { contains: "twice" }],
    ["a topic that no name fits", { topics: ["t", "ä"] }, { code: "INVALID_TOPIC_EXCEPTION", contains: "topics[1]" }],
    ["a pattern", { topics: ["t*"] }, { code: "INVALID_TOPIC_EXCEPTION" }],
    ["a topic of 1 MB", { topics: ["t".repeat(2 ** 20)] }, { contains: "topics[0]" }],
    ["1,001 topics", { topics: Array.from({ length: 1001 }, (_, n) => `t${n}`) }, { limit: "maxTopicsPerMember" }],
    ["a memberEpoch that is text", { memberEpoch: "1" }, { contains: "memberEpoch must be a whole number" }],
    ["a negative memberEpoch", { memberEpoch: -1 }, { contains: "memberEpoch" }],
    ["null for a memberEpoch", { topics: ["t"], memberEpoch: null }, { contains: "memberEpoch" }],
    ["an instanceId with a slash", { topics: ["t"], instanceId: "a/b" }, { contains: "instanceId must be 1 to 249" }],
    ["an instanceId of two dots", { topics: ["t"], instanceId: ".." }, { contains: "instanceId" }],
    ["an empty instanceId", { topics: ["t"], instanceId: "" }, { contains: "instanceId" }],
    ["a session below its bound", { topics: ["t"], sessionTimeoutMs: 999 }, { contains: "1000 to 1800000" }],
    ["a session above its bound", { topics: ["t"], sessionTimeoutMs: 1_800_001 }, { contains: "1000 to 1800000" }],
    ["a rebalance above its bound", { topics: ["t"], rebalanceTimeoutMs: 2 ** 40 }, { contains: "1000 to 3600000" }],
    ["an assignor there is not", { topics: ["t"], assignor: "sticky" }, { code: "UNSUPPORTED_ASSIGNOR" }],
    ["an assignor of 1 MB", { topics: ["t"], assignor: "x".repeat(2 ** 20) }, { contains: "assignor may have" }],
    ["an offsetReset there is not", { topics: ["t"], offsetReset: "none" }, { contains: "earliest, latest, error" }],
    ["maxRecords below 0", { topics: ["t"], maxRecords: -1 }, { contains: "maxRecords" }],
    ["maxRecords that is no whole number", { topics: ["t"], maxRecords: 1.5 }, { contains: "maxRecords" }],
    ["maxBytes of 0", { topics: ["t"], maxBytes: 0 }, { contains: "maxBytes" }],
    ["maxBytes above a page", { topics: ["t"], maxBytes: 16_777_217 }, { limit: "maxPageBytes" }],
    ["waitMs as text", { topics: ["t"], waitMs: "1s" }, { contains: "waitMs" }],
    ["a format there is not", { topics: ["t"], valueFormat: "hex" }, { contains: "json, string, base64" }],
    ["a commit that is no list", { memberEpoch: 1, commit: at(1) }, { contains: "commit must be an array" }],
    [
      "a record's own offset",
      { memberEpoch: 1, commit: [{ topic: "t", partition: 0, offset: 1 }] },
      { contains: "+ 1" },
    ],
    ["both offsets", { memberEpoch: 1, positions: [at(1, { offset: 0 })] }, { contains: "nextOffset" }],
    ["a position without one", { memberEpoch: 1, commit: [{ topic: "t", partition: 0 }] }, { contains: "is missing" }],
    ["a negative nextOffset", { memberEpoch: 1, commit: [at(-1)] }, { contains: "commit[0].nextOffset" }],
    ["a nextOffset as text", { memberEpoch: 1, commit: [at("1")] }, { contains: "commit[0].nextOffset" }],
    ["a partition of −1", { memberEpoch: 1, commit: [at(1, { partition: -1 })] }, { contains: "commit[0].partition" }],
    [
      "a partition of 2^31",
      { memberEpoch: 1, positions: [at(1, { partition: 2 ** 31 })] },
      { contains: "positions[0]" },
    ],
    ["a partition twice", { memberEpoch: 1, commit: [at(1), at(2)] }, { contains: "commit[1] names t-0 twice" }],
    ["a position twice", { memberEpoch: 1, positions: [at(1), at(1)] }, { contains: "positions[1] names t-0 twice" }],
    ["metadata that is no text", { memberEpoch: 1, commit: [at(1, { metadata: {} })] }, { contains: "metadata" }],
    [
      "10,001 positions",
      { memberEpoch: 1, commit: Array.from({ length: 10_001 }, (_, partition) => at(1, { partition })) },
      { limit: "maxPositionsPerCall" },
    ],
    ["owned as positions", { memberEpoch: 1, owned: [at(1)] }, { contains: "did you mean partitions" }],
    ["owned twice", { memberEpoch: 1, owned: [{ topic: "t", partitions: [0, 0] }] }, { contains: "t-0 twice" }],
    [
      "10,001 owned",
      { memberEpoch: 1, owned: [{ topic: "t", partitions: Array.from({ length: 10_001 }, (_, n) => n) }] },
      { limit: "maxPositionsPerCall" },
    ],
  ])("%s", async (_what, body, expected) => {
    await refused(poll, JSON.stringify(body), expected);
    await refused(poll, encodeMsgpack(body), expected, msgpack);
  });

  test.each<[string, string, Refused]>([
    ["cut", '{"topics":["t"]', { code: "MALFORMED_BODY" }],
    ["empty", "", {}],
    ["a field twice", '{"topics":["t"],"topics":["t"]}', { contains: "twice" }],
    ["a field of a position twice", '{"memberEpoch":1,"commit":[{"topic":"t","topic":"t"}]}', { contains: "twice" }],
    ["1.0", '{"memberEpoch":1.0}', { contains: "whole number" }],
    ["1e3", '{"memberEpoch":1e3}', { contains: "whole number" }],
    ["−0", '{"topics":["t"],"waitMs":-0}', { contains: "waitMs" }],
    ["2^53", '{"memberEpoch":1,"commit":[{"topic":"t","partition":0,"nextOffset":9007199254740992}]}', {}],
    [
      "half a surrogate pair",
      '{"memberEpoch":1,"commit":[{"topic":"t","partition":0,"nextOffset":1,"metadata":"\\ud800"}]}',
      { contains: "surrogate" },
    ],
    ["__proto__", '{"topics":["t"],"__proto__":{}}', { contains: "__proto__" }],
    ["deep", `{"topics":${"[".repeat(70)}${"]".repeat(70)}}`, { code: "MALFORMED_BODY", limit: "jsonDepthMax" }],
  ])("JSON: %s", async (_what, body, expected) => {
    if (body !== "") await refused(poll, body, expected);
    else expect((await server.post(poll, body)).statusCode).toBe(400);
  });

  test("metadata of 1 MB in a commit", async () => {
    const body = { memberEpoch, commit: [at(1, { metadata: "x".repeat(2 ** 20) })] };
    await refused(poll, body, { status: 413, code: "OFFSET_METADATA_TOO_LARGE", limit: "metadataBytesMax" });
    await refused(offsets, { positions: body.commit }, { status: 413, code: "OFFSET_METADATA_TOO_LARGE" });
    const characters = { positions: [at(1, { metadata: "ä".repeat(2049) })] };
    await refused(offsets, characters, { status: 413, code: "OFFSET_METADATA_TOO_LARGE" });
  });

  test("formats for an answer in msgpack, which has none", async () => {
    const headers = { ...json, accept: "application/msgpack" };
    await refused(poll, { topics: ["t"], keyFormat: "string" }, { contains: "means nothing" }, headers);
  });

  test("any other content type, and none", async () => {
    const types = ["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson"];
    for (const type of types) {
      const expected = { status: 415, code: "UNSUPPORTED_MEDIA_TYPE" };
      await refused(poll, '{"topics":["t"]}', expected, { "content-type": type });
    }
    const answer = await server.ask({ method: "POST", url: poll });
    expect(answer.statusCode).toBe(415);
  });

  test("what is asked in the query", async () => {
    await refused(`${poll}?waitMs=1`, { topics: ["t"] }, { contains: "unknown query parameter" });
  });

  test("a body that inflates beyond the limit", async () => {
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, 0x20));
    const headers = { ...json, "content-encoding": "gzip" };
    await refused(poll, bomb, { status: 413, code: "PAYLOAD_TOO_LARGE", limit: "maxBodyBytes" }, headers);
  });
});

test("no body is a bug: any value in any field is taken or refused", async () => {
  const position = fc.record(
    {
      topic: fc.constantFrom("t", "x", "", "ä", 1, null),
      partition: fc.constantFrom(0, 1, 2, -1, 2 ** 31, "0"),
      nextOffset: fc.constantFrom(0, 3, 4, null, -1, Number.MAX_SAFE_INTEGER),
      leaderEpoch: fc.constantFrom(0, -1, 2 ** 31 - 1),
      metadata: fc.oneof(fc.string(), fc.constant(null), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const positions = fc.oneof(fc.array(position, { maxLength: 3 }), fc.jsonValue());
  const fields = {
    topics: fc.oneof(fc.constantFrom(["t"], ["t", "u"]), fc.jsonValue()),
    memberEpoch: fc.oneof(fc.nat(), fc.constant(65_537), fc.jsonValue()),
    commit: positions,
    positions,
    owned: fc.oneof(fc.constant([{ topic: "t", partitions: [0] }]), fc.jsonValue()),
    instanceId: fc.oneof(fc.constant("i"), fc.string({ unit: "grapheme" })),
    sessionTimeoutMs: fc.oneof(fc.integer(), fc.jsonValue()),
    assignor: fc.oneof(fc.constantFrom("uniform", "range", "constructor"), fc.string()),
    offsetReset: fc.constantFrom("earliest", "latest", "error", "none"),
    maxRecords: fc.oneof(fc.nat({ max: 3 }), fc.jsonValue()),
    maxBytes: fc.oneof(fc.nat({ max: 100 }), fc.jsonValue()),
  };
  await fc.assert(
    fc.asyncProperty(fc.record(fields, { requiredKeys: [] }), async (body) => {
      const answer = await server.post("/v1/groups/any/members/m/poll", JSON.stringify(body));
      expect(answer.statusCode, answer.body).toBeLessThan(500);
    }),
    { numRuns: 300 },
  );
});

describe("who polls", () => {
  test("an unknown member", async () => {
    const expected = { status: 409, code: "UNKNOWN_MEMBER_ID", contains: "poll again without memberEpoch" };
    await refused("/v1/groups/g/members/other/poll", { memberEpoch }, expected);
    await refused("/v1/groups/nosuch/members/m/poll", { memberEpoch: 1 }, expected);
  });

  test.each([1, 0, 65_536 * 99 + 1, Number.MAX_SAFE_INTEGER])("an epoch that it never had: %i", async (epoch) => {
    const expected = { status: 409, code: "FENCED_MEMBER_EPOCH", contains: "poll again without memberEpoch" };
    await refused(poll, { memberEpoch: epoch }, expected);
  });

  test("an instanceId that another one has", async () => {
    const topics = ["t"];
    await server.post("/v1/groups/static/members/a/poll", { topics, instanceId: "one" });
    const expected = { status: 409, code: "UNRELEASED_INSTANCE_ID", contains: "remove it first" };
    await refused("/v1/groups/static/members/b/poll", { topics, instanceId: "one" }, expected);
  });
});

describe("a commit", () => {
  test("beyond the end of the log", async () => {
    const expected = { status: 416, code: "OFFSET_OUT_OF_RANGE", contains: "t-0" };
    await refused(poll, { memberEpoch, commit: [at(4)] }, expected);
    await refused(offsets, { positions: [at(4)] }, expected);
  });

  test.each<[string, unknown, Refused]>([
    ["without positions", {}, { contains: "positions is missing" }],
    ["a record's own offset", { positions: [{ topic: "t", partition: 0, offset: 1 }] }, { contains: "+ 1" }],
    ["a list", [at(1)], { contains: "an object" }],
    ["a member without its epoch", { positions: [at(1)], memberId: "m" }, { contains: "memberEpoch is missing" }],
    ["an epoch without its member", { positions: [at(1)], memberEpoch: 1 }, { contains: "memberId is missing" }],
    ["a partition twice", { positions: [at(1), at(1)] }, { contains: "twice" }],
    [
      "no such partition",
      { positions: [at(0, { partition: 9 })] },
      { status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" },
    ],
    ["no such topic", { positions: [at(0, { topic: "x" })] }, { status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" }],
    [
      "one of two",
      { positions: [at(0), at(0, { partition: 9 })] },
      { status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" },
    ],
    ["an illegal topic", { positions: [at(0, { topic: "a b" })] }, { code: "INVALID_TOPIC_EXCEPTION" }],
    [
      "a member where there is none",
      { positions: [at(1)], memberId: "m", memberEpoch: 1 },
      { status: 409, code: "UNKNOWN_MEMBER_ID" },
    ],
  ])("from outside: %s", async (_what, body, expected) => {
    await refused(offsets, JSON.stringify(body), expected);
  });

  test("from outside, while the group has members", async () => {
    const url = "/v1/groups/g/offsets";
    const expected = { status: 409, code: "UNKNOWN_MEMBER_ID", contains: "needs memberId and memberEpoch" };
    await refused(url, { positions: [at(1)] }, expected);
    const stale = { positions: [at(1)], memberId: "m", memberEpoch: memberEpoch + 1 };
    await refused(url, stale, { status: 409, code: "FENCED_MEMBER_EPOCH" });
  });
});

describe("a reset", () => {
  test.each<[string, unknown, Refused]>([
    ["to nowhere", {}, { contains: "to is missing" }],
    ["to a number as such", { to: 1 }, { contains: "to must be a string" }],
    ["to what is no place", { to: "begin" }, { contains: "to " }],
    ["to seconds", { to: "@1700000000" }, { contains: "to " }],
    [
      "of a topic that is not there",
      { to: "earliest", topics: ["x"] },
      { status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" },
    ],
    ["of a topic twice", { to: "earliest", topics: ["t", "t"] }, { contains: "twice" }],
    ["of an illegal topic", { to: "earliest", topics: ["t?"] }, { code: "INVALID_TOPIC_EXCEPTION" }],
    ["of a partition twice", { to: "earliest", partitions: [0, 0] }, { contains: "twice" }],
    ["of a partition as text", { to: "earliest", partitions: ["0"] }, { contains: "partitions[0]" }],
    ["dryRun as text", { to: "earliest", dryRun: "yes" }, { contains: "dryRun" }],
    ["a misspelled dryRun", { to: "earliest", dryrun: true }, { contains: "did you mean dryRun" }],
  ])("%s", async (_what, body, expected) => {
    await refused(reset, JSON.stringify(body), expected);
  });

  test("of a group with members, and of none", async () => {
    const expected = { status: 409, code: "NON_EMPTY_GROUP", contains: "remove them" };
    await refused("/v1/groups/g/offsets/reset", { to: "earliest" }, expected);
    const nosuch = { status: 404, code: "GROUP_ID_NOT_FOUND" };
    await refused("/v1/groups/nosuch/offsets/reset", { to: "earliest" }, nosuch);
  });
});

describe("names", () => {
  const illegal = [
    "%C3%A4",
    "%F0%9F%8E%89",
    "a%2Fb",
    "a%00b",
    "a%20b",
    "a+b",
    "%25",
    "x".repeat(250),
    "x".repeat(15_000),
  ].map((name) => [name.slice(0, 20), name] as const);

  test.each(illegal)("%s…", async (_start, name) => {
    const body = { topics: ["t"] };
    await refused(`/v1/groups/${name}/members/m/poll`, body, { contains: "a group's id must be 1 to 249" });
    await refused(`/v1/groups/g/members/${name}/poll`, body, { contains: "a member's id must be 1 to 249" });
    await refused(`/v1/groups/${name}/offsets`, { positions: [at(1)] }, { contains: "a group's id" });
    await refused(`/v1/groups/${name}/offsets/reset`, { to: "earliest" }, { contains: "a group's id" });
    for (const url of [`/v1/groups/${name}`, `/v1/groups/${name}/offsets`]) {
      expect((await server.get(url)).json()).toMatchObject({ status: 404, code: "GROUP_ID_NOT_FOUND" });
    }
    for (const [url, code] of [
      [`/v1/groups/${name}`, "GROUP_ID_NOT_FOUND"],
      [`/v1/groups/${name}/members/m`, "GROUP_ID_NOT_FOUND"],
      [`/v1/groups/g/members/${name}`, "UNKNOWN_MEMBER_ID"],
    ] as const) {
      const answer = await server.ask({ method: "DELETE", url });
      expect(answer.json()).toMatchObject({ status: 404, code });
      expect(answer.body.length).toBeLessThan(1000);
    }
  });

  test.each(["%ff", "%C3", "%zz"])("what is no UTF-8: %s", async (name) => {
    const answer = await server.post(`/v1/groups/${name}/members/m/poll`, { topics: ["t"] });
    expect(answer.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST" });
  });

  test.each([".", "..", ""])("as it comes from a router that keeps it: %j", (name) => {
    const exchange = (group: string, member: string) =>
      ({ parameter: (which: string) => (which === "group" ? group : member) }) as unknown as Exchange;
    for (const names of [exchange(name, "m"), exchange("g", name)]) {
      expect(() => memberToUse(names)).toThrow("id must be 1 to 249");
      expect(() => memberToFind(names)).toThrow("no such");
    }
  });

  test("no name at all", async () => {
    for (const url of ["/v1/groups//members/m/poll", "/v1/groups/g/members//poll"]) {
      const answer = await server.post(url, { topics: ["t"] });
      expect([400, 404], answer.body).toContain(answer.statusCode);
    }
  });

  test.each(["...", "-", "_", "__consumer_offsets", "__proto__", "constructor", "x".repeat(249), "%61%2d1"])(
    "%s is a name",
    async (name) => {
      const url = `/v1/groups/${name}/members/${name}/poll`;
      const answer = await server.post(url, { topics: ["t"], instanceId: decodeURIComponent(name) });
      expect(answer.statusCode, answer.body).toBe(200);
      const groupId = decodeURIComponent(name);
      expect((await server.get(`/v1/groups/${name}`)).json()).toMatchObject({
        groupId,
        members: [{ memberId: groupId }],
      });
    },
  );
});

test("what is not there", async () => {
  for (const url of ["/v1/groups/nosuch", "/v1/groups/nosuch/offsets"]) {
    expect((await server.get(url)).json()).toMatchObject({ status: 404, code: "GROUP_ID_NOT_FOUND" });
  }
  const remove = (url: string) => server.ask({ method: "DELETE", url });
  expect((await remove("/v1/groups/nosuch")).json()).toMatchObject({ status: 404, code: "GROUP_ID_NOT_FOUND" });
  for (const url of ["/v1/groups/nosuch/members/m", "/v1/groups/g/members/nosuch"]) {
    expect((await remove(url)).json()).toMatchObject({ status: 404, code: "UNKNOWN_MEMBER_ID" });
  }
  expect((await remove("/v1/groups/g")).json()).toMatchObject({ status: 409, code: "NON_EMPTY_GROUP" });
});

test("other methods are told which there are", async () => {
  const answer = await server.get(poll);
  expect(answer.statusCode).toBe(405);
  expect(answer.headers.allow).toBe("POST");
  expect((await server.ask({ method: "PATCH", url: "/v1/groups/g" })).headers.allow).toBe("DELETE, GET, HEAD");
});

test.each(["limit=0", "limit=x", "lag=maybe", "limits=1", "prefix=a&prefix=b"])("GET /v1/groups?%s", async (query) => {
  expect((await server.get(`/v1/groups?${query}`)).json()).toMatchObject({ status: 400, code: "INVALID_REQUEST" });
});

test("nothing above was a bug", () => expect(server.errors).toEqual([]));
