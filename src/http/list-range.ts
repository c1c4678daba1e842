// Which part of a list is asked for: the same three parameters for every list that is sorted by name.

import { listLimitMax } from "./limits.ts";
import { type Query, wholeNumberParameter } from "./query.ts";
import type { Parameter } from "./route.ts";

export const listParameters: Readonly<Record<string, Parameter>> = {
  prefix: { description: "Only names that begin so.", schema: { type: "string" } },
  after: { description: "Only names after this one.", schema: { type: "string" } },
  limit: {
    description: "At most so many; next is where to go on.",
    schema: { type: "integer", minimum: 1, maximum: listLimitMax },
  },
};

export interface ListRange {
  readonly prefix?: string;
  readonly after?: string;
  readonly limit?: number;
}

export function listRange(query: Query): ListRange {
  const prefix = query.get("prefix");
  const after = query.get("after");
  const limit = wholeNumberParameter(query, "limit", { min: 1, max: listLimitMax });
  return {
    ...(prefix === undefined ? {} : { prefix }),
    ...(after === undefined ? {} : { after }),
    ...(limit === undefined ? {} : { limit }),
  };
}
