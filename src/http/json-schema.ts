// The part of JSON Schema that the API's own bodies need: one object says what a body is, checks it, and stands in the OpenAPI document.
// Records have readers of their own (formats/), which are faster and keep bytes as they are.

import { invalidField, joinPath, unknownFields } from "./formats/body-refusal.ts";

export type SchemaType = "object" | "array" | "string" | "integer" | "number" | "boolean" | "null";

export interface Schema {
  readonly type?: SchemaType | readonly SchemaType[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly oneOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly contentEncoding?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly title?: string;
  readonly description?: string;
  readonly $ref?: string;
}

/** By the name of an unknown field: what whoever sends it should know. */
export type FieldHints = ReadonlyMap<string, string>;

const noHints: FieldHints = new Map();

/**
 * Throws INVALID_REQUEST naming the first thing that is not as the schema says. Knows type, enum, properties, required, items, maxLength
 * and bounds.
 */
export function checkAgainst(schema: Schema, value: unknown, hints = noHints, path = ""): void {
  if (schema.type !== undefined) checkType(schema.type, value, path);
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    throw invalidField(path, `must be one of ${schema.enum.join(", ")}`);
  }
  if (typeof value === "number") checkBounds(schema, value, path);
  else if (typeof value === "string") checkText(schema, value, path);
  else if (Array.isArray(value)) checkItems(schema, value, hints, path);
  else if (typeof value === "object" && value !== null) checkProperties(schema, value, hints, path);
}

function checkType(expected: SchemaType | readonly SchemaType[], value: unknown, path: string): void {
  const types = typeof expected === "string" ? [expected] : expected;
  if (types.some((type) => isOfType(type, value))) return;
  throw invalidField(path, `must be ${types.map((type) => typeNames[type]).join(" or ")}`);
}

const typeNames: Readonly<Record<SchemaType, string>> = {
  object: "an object",
  array: "an array",
  string: "a string",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  null: "null",
};

function isOfType(type: SchemaType, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isSafeInteger(value);
    default:
      return typeof value === type;
  }
}

function checkBounds(schema: Schema, value: number, path: string): void {
  const { minimum, maximum } = schema;
  if ((minimum === undefined || value >= minimum) && (maximum === undefined || value <= maximum)) return;
  throw invalidField(path, `must be from ${minimum ?? "-2^53+1"} to ${maximum ?? "2^53-1"}`);
}

function checkText({ maxLength }: Schema, text: string, path: string): void {
  if (/\p{Surrogate}/u.test(text)) {
    throw invalidField(path, "has half of a surrogate pair, which has no UTF-8 form");
  }
  if (maxLength === undefined || text.length <= maxLength) return;
  throw invalidField(path, `may have ${maxLength} characters`);
}

function checkItems(schema: Schema, items: readonly unknown[], hints: FieldHints, path: string): void {
  if (schema.items === undefined) return;
  for (const [index, item] of items.entries()) checkAgainst(schema.items, item, hints, `${path}[${index}]`);
}

function checkProperties(schema: Schema, value: object, hints: FieldHints, path: string): void {
  const properties = schema.properties ?? {};
  const unknown: string[] = [];
  for (const [name, field] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known !== undefined) checkAgainst(known, field, hints, joinPath(path, name));
    else if (schema.additionalProperties === false) unknown.push(name);
    else if (typeof schema.additionalProperties === "object") {
      checkAgainst(schema.additionalProperties, field, hints, joinPath(path, name));
    }
  }
  if (unknown.length > 0) throw unknownFields(path, unknown, Object.keys(properties), hints);
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) throw invalidField(joinPath(path, name), "is missing");
  }
}
