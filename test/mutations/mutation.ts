// A seeded defect, as data: one edit of one source file, and the suite that must notice it. src itself has no switch.

import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Mutation {
  /** Unique, the defect in a few words: "ack-before-fsync". */
  readonly name: string;
  /** From the root of the repository: "src/log/append-queue.ts". */
  readonly file: string;
  /** Must stand in the file exactly once, white space included. */
  readonly find: string;
  /** The defect. It must still compile: a suite that cannot load has noticed nothing. */
  readonly replace: string;
  /** The test file that fails under it, and passes without it. */
  readonly caughtBy: string;
  /** A part of the name of the test in that file that notices it, to run nothing else. */
  readonly test?: string;
}

export const root = join(import.meta.dirname, "../..");

/** The mutated text; throws unless `find` is there exactly once and `replace` changes it. */
export function mutate(source: string, mutation: Mutation): string {
  const matches = source.split(mutation.find).length - 1;
  if (matches !== 1) {
    throw new Error(`mutation ${mutation.name}: find matches ${matches} times in ${mutation.file}, not once`);
  }
  if (mutation.replace === mutation.find) throw new Error(`mutation ${mutation.name} changes nothing`);
  return source.replace(mutation.find, () => mutation.replace);
}

export function mutatedFile(mutation: Mutation): string {
  return mutate(readFileSync(join(root, mutation.file), "utf8"), mutation);
}
