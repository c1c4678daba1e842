// The known name that a mistyped one most likely stands for, to be offered in an error.

/** Longer names are not looked at: the work grows with the square of the length, and clients choose the name. */
const nameLengthMax = 64;

/**
 * The nearest of `known` by edits (a letter added, left out, replaced, or swapped with its neighbour); case, "-", "_" and "."
 * do not count. undefined when none is near: more than a third of the letters would have to change.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  if (name.length > nameLengthMax) return undefined;
  const wanted = bare(name);
  let nearest: string | undefined;
  let fewest = Math.floor(wanted.length / 3) + 1;
  for (const candidate of known) {
    const edits = editDistance(wanted, bare(candidate));
    if (edits >= fewest) continue;
    nearest = candidate;
    fewest = edits;
  }
  return nearest;
}

function bare(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]/g, "");
}

/** Edits that lead from `from` to `to`, a swap of neighbours counted as one (optimal string alignment). */
function editDistance(from: string, to: string): number {
  let twoAbove: number[] = [];
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = from[row - 1] === to[column - 1] ? 0 : 1;
      let edits = Math.min(above[column]! + 1, current[column - 1]! + 1, above[column - 1]! + replaced);
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) edits = Math.min(edits, twoAbove[column - 2]! + 1);
      current.push(edits);
    }
    twoAbove = above;
    above = current;
  }
  return above[to.length]!;
}
