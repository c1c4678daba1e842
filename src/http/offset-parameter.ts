// Offset expressions as query parameters.

import { type OffsetExpression, parseOffsetExpression } from "../protocol/offset-expression.ts";
import { invalidParameter, type Query } from "./query.ts";

export function offsetParameter(query: Query, name: string, otherwise: OffsetExpression): OffsetExpression {
  const text = query.get(name);
  if (text === undefined) return otherwise;
  const expression = parseOffsetExpression(text);
  if (expression.kind === "invalid") throw invalidParameter(name, expression.reason);
  return expression;
}
