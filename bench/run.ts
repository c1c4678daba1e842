// The command: runs the benches that are named, keeps what they gave in bench/results and, when asked, in bench/README.md.

import { benchAppend } from "./append.ts";
import { benchGroups } from "./groups.ts";
import { benchHttpFetch } from "./http-fetch.ts";
import { benchHttpProduce } from "./http-produce.ts";
import type { Figures } from "./lib/figures.ts";
import { saveResults, writeReadme } from "./lib/results.ts";
import { benchProfile } from "./profile.ts";
import { benchStart } from "./start.ts";
import { benchStreams } from "./streams.ts";

const benches: Readonly<Record<string, (quick: boolean) => Promise<Figures>>> = {
  append: benchAppend,
  "http-produce": benchHttpProduce,
  "http-fetch": benchHttpFetch,
  start: benchStart,
  groups: benchGroups,
  streams: benchStreams,
  profile: benchProfile,
};
const usage = `npm run bench -- ${Object.keys(benches).join("|")}|all [--quick] [--write]\n`;

const words = process.argv.slice(2);
const names = words.filter((word) => !word.startsWith("--"));
const quick = words.includes("--quick");
const wanted = names.length === 0 || names.includes("all") ? Object.keys(benches) : names;
const unknown = [...words].filter(
  (word) => word !== "all" && !benches[word] && word !== "--quick" && word !== "--write",
);

if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(", ")}\n${usage}`);
  process.exitCode = 2;
} else {
  for (const name of wanted) {
    process.stdout.write(`${name}\n`);
    const figures = await benches[name]!(quick);
    await saveResults(figures, quick);
    if (words.includes("--write")) await writeReadme(figures, quick);
  }
}
