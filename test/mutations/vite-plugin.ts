// Puts the defect named by MILLRACE_MUTATION into its source file as vite loads it. Nothing on disk changes.

import { join } from "node:path";
import type { Plugin } from "vitest/config";
import { mutations } from "./catalogue.ts";
import { mutate, root } from "./mutation.ts";

/** The plugin for the mutation of that name; throws if there is none. */
export function mutationPlugin(name: string): Plugin {
  const mutation = mutations.find((candidate) => candidate.name === name);
  if (!mutation) throw new Error(`MILLRACE_MUTATION=${name}: no such mutation in test/mutations`);
  const path = join(root, mutation.file);
  return {
    name: "millrace-mutation",
    enforce: "pre",
    transform(code, id) {
      return id.split("?")[0] === path ? { code: mutate(code, mutation), map: null } : undefined;
    },
  };
}
