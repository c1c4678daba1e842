// The document is legal OpenAPI 3.1, and says the same as the router, the page for people and the contract.

import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultSettings } from "../../src/config.ts";
import { pollSchema } from "../../src/http/group-poll-call.ts";
import { errorCodes } from "../../src/protocol/error-codes.ts";
import { TestServer } from "./test-server.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters: readonly { readonly in: string; readonly name: string; readonly description: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
}
interface Document {
  readonly openapi: string;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

let server: TestServer;
let document: Document;
let operations: readonly (readonly [string, Operation])[];
beforeAll(async () => {
  server = await TestServer.start();
  document = (await server.get("/openapi.json")).json<Document>();
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation] as const),
  );
});
afterAll(() => server.stop());

test("is legal OpenAPI 3.1", async () => {
  expect(document.openapi).toBe("3.1.0");
  const result = await new Validator().validate(structuredClone(document) as unknown as Record<string, unknown>);
  expect(result.errors).toBeUndefined();
  expect(result.valid).toBe(true);
});

test("a member's session is by default what the broker is set to", () => {
  const { properties } = pollSchema({ ...defaultSettings, groupSessionTimeoutMs: 20_000 });
  expect(properties?.["sessionTimeoutMs"]?.default).toBe(20_000);
});

test("every schema is a schema, and every reference leads somewhere", () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, "document");
  const references = new Set([...JSON.stringify(document).matchAll(/"\$ref":"(#[^"]+)"/g)].map(([, to]) => to));
  expect(references.size).toBeGreaterThan(5);
  for (const reference of references) {
    if (reference?.startsWith("#/components/schemas/"))
      expect(() => ajv.compile({ $ref: `document${reference}` })).not.toThrow();
  }
  for (const name of Object.keys(document.components.schemas))
    expect(references).toContain(`#/components/schemas/${name}`);
});

describe("operations", () => {
  test("are those of the contract", () => {
    expect(operations.map(([what]) => what).sort()).toEqual([
      "delete /v1/groups/{group}",
      "delete /v1/groups/{group}/members/{member}",
      "delete /v1/topics/{topic}",
      "delete /v1/topics/{topic}/partitions/{partition}/records",
      "get /asyncapi.json",
      "get /docs",
      "get /livez",
      "get /metrics",
      "get /openapi.json",
      "get /readyz",
      "get /v1/cluster",
      "get /v1/groups",
      "get /v1/groups/{group}",
      "get /v1/groups/{group}/offsets",
      "get /v1/topics",
      "get /v1/topics/{topic}",
      "get /v1/topics/{topic}/offsets",
      "get /v1/topics/{topic}/partitions/{partition}/producers",
      "get /v1/topics/{topic}/partitions/{partition}/records",
      "get /v1/topics/{topic}/records",
      "get /v1/ws",
      "head /v1/topics/{topic}/partitions/{partition}/records",
      "head /v1/topics/{topic}/records",
      "patch /v1/topics/{topic}",
      "post /v1/groups/{group}/members/{member}/poll",
      "post /v1/groups/{group}/offsets",
      "post /v1/groups/{group}/offsets/reset",
      "post /v1/producers",
      "post /v1/topics",
      "post /v1/topics/{topic}/partitions/{partition}/records",
      "post /v1/topics/{topic}/records",
    ]);
  });

  test("each has a name of its own, a tag that is listed, words, and no parameter twice", () => {
    const names = operations.map(([, { operationId }]) => operationId);
    expect(new Set(names).size).toBe(names.length);
    const tags = document.tags.map(({ name }) => name);
    for (const [, { summary, tags: own, parameters }] of operations) {
      expect(summary).not.toBe("");
      for (const tag of own) expect(tags).toContain(tag);
      const keys = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      expect(new Set(keys).size).toBe(keys.length);
      for (const { description } of parameters) expect(description).toMatch(/\w/);
    }
  });

  test("every parameter the document names is taken, and no other", async () => {
    await server.createTopic("t");
    for (const [what, { parameters }] of operations) {
      const [method = "", path = ""] = what.split(" ");
      const url = path.replace("{topic}", "t").replace("{group}", "g").replace("{partition}", "0");
      if (method !== "get") continue;
      for (const { in: place, name } of parameters) {
        if (place !== "query") continue;
        const { body } = await server.get(`${url}?${name}=%00`);
        expect(body, `${url}?${name}`).not.toContain("unknown query parameter");
      }
      expect((await server.get(`${url}?nosuch=1`)).statusCode).toBe(400);
    }
  });

  test("no operation can answer 408, 421, 425 or 207", () => {
    for (const [, { responses }] of operations) {
      for (const status of ["207", "408", "421", "425"]) expect(responses[status]).toBeUndefined();
    }
  });

  test("a produce can be in doubt", () => {
    for (const [what, { responses }] of operations) {
      if (what.startsWith("post") && what.endsWith("records"))
        expect(responses["504"]?.description).toContain("KAFKA_STORAGE_ERROR");
    }
  });
});

test("the page for people names every operation and every code", async () => {
  const { body } = await server.get("/docs");
  for (const [, { operationId }] of operations) expect(body).toContain(`id="${operationId}"`);
  for (const [code, { httpStatus }] of Object.entries(errorCodes)) {
    expect(body).toContain(`<tr id="${code}"><td><code>${code}</code></td><td>${httpStatus}</td>`);
  }
});

test("both are made once", async () => {
  expect((await server.get("/openapi.json")).body).toBe((await server.get("/openapi.json")).body);
});
