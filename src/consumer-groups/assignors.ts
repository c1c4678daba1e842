// The assignors there are, by the names that members ask for.

import type { Assignor } from "./assignor.ts";
import { assignRange } from "./range-assignor.ts";
import { assignUniform } from "./uniform-assignor.ts";

export const assignors = { uniform: assignUniform, range: assignRange } as const satisfies Record<string, Assignor>;
export type AssignorName = keyof typeof assignors;

export function isAssignorName(name: string): name is AssignorName {
  return Object.hasOwn(assignors, name);
}
