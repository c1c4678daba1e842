// The three processes of an HTTP bench: the broker, the floor and the load generator.

import { mkdir } from "node:fs/promises";
import type { Load, LoadResult } from "../load-child.ts";
import { Child, type ChildName } from "./child.ts";
import type { ServerCounts } from "./child-side.ts";
import { withFolder } from "./temporary-folder.ts";

export type Subject = "broker" | "floor";
export const topic = "bench";

export interface Server {
  readonly child: Child;
  readonly url: string;
}

export interface Setting {
  readonly syncMs?: number;
  readonly partitionCount?: number;
  readonly pageBytes?: number;
  /** For the broker and the floor. */
  readonly nodeFlags?: Readonly<Record<Subject, readonly string[]>>;
}

export interface Servers {
  readonly broker: Server;
  readonly floor: Server;
  readonly load: Child;
}

export async function withServers<T>(setting: Setting, run: (servers: Servers) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const { syncMs = 0, partitionCount = 1, pageBytes = 0, nodeFlags = { broker: [], floor: [] } } = setting;
    await mkdir(`${folder}/broker`);
    const topics = { [topic]: { partitionCount } };
    const broker = await start("broker-child", { folder: `${folder}/broker`, syncMs, topics }, nodeFlags.broker);
    const floor = await start("floor-child", { folder, syncMs, pageBytes }, nodeFlags.floor);
    const load = new Child("load-child");
    try {
      return await run({ broker, floor, load });
    } finally {
      for (const child of [load, broker.child, floor.child]) await child.stop();
    }
  });
}

async function start(name: ChildName, options: object, nodeFlags: readonly string[]): Promise<Server> {
  const child = new Child(name, nodeFlags);
  return { child, url: await child.ask<string>("start", options) };
}

export interface Measured extends LoadResult {
  readonly perSecond: number;
  /** Of the server, per request. */
  readonly cpuMicros: number;
  readonly batchesPerSync: number;
}

export async function put(server: Server, load: Child, asked: Omit<Load, "url">): Promise<Measured> {
  const before = await server.child.ask<ServerCounts>("counts");
  const result = await load.ask<LoadResult>("run", { ...asked, url: server.url });
  const after = await server.child.ask<ServerCounts>("counts");
  return {
    ...result,
    perSecond: result.answered / result.seconds,
    cpuMicros: ((after.cpuMs - before.cpuMs) * 1000) / result.answered,
    batchesPerSync: (after.batches - before.batches) / Math.max(1, after.syncs - before.syncs),
  };
}
