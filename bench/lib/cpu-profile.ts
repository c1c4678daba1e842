// A profile that node --cpu-prof wrote, summed up by who the time belongs to: parts of the source, packages, parts of Node.

import { readdir, readFile } from "node:fs/promises";

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** Microseconds. */
  readonly timeDeltas: readonly number[];
}

/** Microseconds of the main thread by owner, waiting left out. The folder holds one profile. */
export async function microsByOwner(folder: string): Promise<ReadonlyMap<string, number>> {
  const name = (await readdir(folder)).find((file) => file.endsWith(".cpuprofile"));
  if (name === undefined) throw new Error(`there is no profile in ${folder}`);
  const { nodes, samples, timeDeltas } = JSON.parse(await readFile(`${folder}/${name}`, "utf8")) as CpuProfile;
  const owners = new Map(nodes.map(({ id, callFrame }) => [id, ownerOf(callFrame.functionName, callFrame.url)]));
  const micros = new Map<string, number>();
  for (let at = 0; at < samples.length; at++) {
    const owner = owners.get(samples[at]!);
    if (owner !== undefined) micros.set(owner, (micros.get(owner) ?? 0) + timeDeltas[at]!);
  }
  return micros;
}

const systemCalls = new Set(["writev", "writeBuffer", "writeBuffers", "fdatasync"]);

function ownerOf(functionName: string, url: string): string | undefined {
  if (functionName === "(idle)") return undefined;
  if (functionName === "(garbage collector)") return "garbage collection";
  const source = /\/dist\.bench\/src\/([^/]+)/.exec(url)?.[1];
  if (source !== undefined) return `src/${source}`;
  if (url.includes("/dist.bench/bench/")) return "the floor's own lines";
  if (url.includes("/node_modules/")) return "fastify and other packages";
  if (url.startsWith("node:")) return "Node's JavaScript (http, net, streams, fs)";
  return systemCalls.has(functionName) ? "writes and syncs, handed to the kernel" : "Node's native code";
}
