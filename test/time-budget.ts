// How long a suite that could go on for ever goes on. `npm test` takes the usual seconds; MILLRACE_TEST_TIME=10 gives
// every such suite ten times as long, and MILLRACE_TEST_SECONDS_MUTANTS=600 gives one of them its own number.

/** The seconds that `suite` (lower case, words joined by "-") may use. */
export function secondsFor(suite: string, usualSeconds: number): number {
  const own = process.env[`MILLRACE_TEST_SECONDS_${suite.toUpperCase().replaceAll("-", "_")}`];
  if (own !== undefined) return positive(own);
  return usualSeconds * positive(process.env["MILLRACE_TEST_TIME"] ?? "1");
}

function positive(text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`${JSON.stringify(text)} is not a positive number of seconds`);
  return number;
}
