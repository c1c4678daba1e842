// The key of `await using`. Where the runtime does not know it yet, compilers that lower `await using` look for the
// registered symbol of that name.

export const asyncDispose: typeof Symbol.asyncDispose =
  (Symbol.asyncDispose as typeof Symbol.asyncDispose | undefined) ??
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);
