// Where figures go: JSON (everything) and CSV (the samples) in bench/results, and tables in bench/README.md, one for each
// bench between its two markers. A figure never stands without the machine, the date and the command that gives it again.

import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { type Figures, GiB } from "./figures.ts";

const folder = "bench/results";
const readme = "bench/README.md";

function circumstances(bench: string, quick: boolean) {
  return {
    date: new Date().toISOString().slice(0, 10),
    command: `npm run bench -- ${bench}${quick ? " --quick" : ""}`,
    commit: commit(),
    machine: `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores, ${Math.round(totalmem() / GiB)} GiB, Linux ${release()}, Node ${process.version}`,
    durability: "flush.messages=1: fdatasync before every acknowledgement",
  };
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

export async function saveResults(figures: Figures, quick: boolean): Promise<void> {
  await mkdir(folder, { recursive: true });
  const about = circumstances(figures.bench, quick);
  const path = `${folder}/${figures.bench}`;
  await writeFile(`${path}.json`, `${JSON.stringify({ ...about, ...figures }, null, 2)}\n`);
  const rows = figures.samples.map((s) => [s.case, s.subject, s.run, s.metric, s.value].map(quoted).join(","));
  await writeFile(`${path}.csv`, `${["case,subject,run,metric,value", ...rows].join("\n")}\n`);
}

const quoted = (field: string | number): string =>
  /[",]/.test(String(field)) ? `"${String(field).replaceAll('"', '""')}"` : String(field);

export async function writeReadme(figures: Figures, quick: boolean): Promise<void> {
  const page = await readFile(readme, "utf8");
  const begin = `<!-- ${figures.bench}: begin -->`;
  const end = `<!-- ${figures.bench}: end -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${readme} has no ${begin} … ${end}`);
  await writeFile(readme, `${page.slice(0, from + begin.length)}\n${table(figures, quick)}\n${page.slice(to)}`);
}

function table({ bench, figures }: Figures, quick: boolean): string {
  const { date, command, commit, machine, durability } = circumstances(bench, quick);
  const lines = [
    `${date}, commit ${commit}. ${machine}. ${durability}. Again: \`${command}\``,
    "",
    "| what | measured | floor | goal |",
    "| --- | --- | --- | --- |",
  ];
  for (const { what, measured, floor, goal, met, note } of figures) {
    const verdict = goal === undefined ? "" : `${goal}: ${met ? "met" : "**missed**"}`;
    lines.push(`| ${what} | ${measured}${note === undefined ? "" : `; ${note}`} | ${floor ?? ""} | ${verdict} |`);
  }
  return lines.join("\n");
}
