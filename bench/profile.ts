// Where the main thread's time goes when one record comes with each request: the broker and its floor side by side.

import { mkdir } from "node:fs/promises";
import { jsonBody } from "./lib/bodies.ts";
import { microsByOwner } from "./lib/cpu-profile.ts";
import { Figures } from "./lib/figures.ts";
import { put, type Subject, topic, withServers } from "./lib/servers.ts";
import { withFolder } from "./lib/temporary-folder.ts";

const subjects = ["broker", "floor"] as const;
const paths = { broker: `/v1/topics/${topic}/records`, floor: "/append" };

export async function benchProfile(quick: boolean): Promise<Figures> {
  const figures = new Figures("profile");
  await withFolder(async (folder) => {
    const profiled = (subject: Subject) => ["--cpu-prof", "--cpu-prof-dir", `${folder}/${subject}`];
    for (const subject of subjects) await mkdir(`${folder}/${subject}`);
    const answered = { broker: 0, floor: 0 };
    const nodeFlags = { broker: profiled("broker"), floor: profiled("floor") };
    await withServers({ nodeFlags }, async (servers) => {
      const bodyBase64 = Buffer.from(jsonBody(1, 100)).toString("base64");
      for (let run = 0; run < (quick ? 2 : 8); run++) {
        for (const subject of subjects) {
          const request = {
            method: "POST",
            contentType: "application/json",
            bodyBase64,
            path: paths[subject],
          } as const;
          const load = { requests: [request], connections: 64, durationMs: 2000 };
          answered[subject] += (await put(servers[subject], servers.load, load)).answered;
        }
      }
    });
    await report(figures, folder, answered);
  });
  return figures;
}

async function report(figures: Figures, folder: string, answered: Readonly<Record<Subject, number>>): Promise<void> {
  const broker = await microsByOwner(`${folder}/broker`);
  const floor = await microsByOwner(`${folder}/floor`);
  const each = (micros: ReadonlyMap<string, number>, subject: Subject, owner: string) =>
    (micros.get(owner) ?? 0) / answered[subject];
  const owners = [...new Set([...broker.keys(), ...floor.keys()])].sort(
    (a, b) => each(broker, "broker", b) - each(broker, "broker", a),
  );
  for (const owner of owners) {
    const [mine, its] = [each(broker, "broker", owner), each(floor, "floor", owner)];
    figures.sample("1 record, JSON", "broker", 0, { [owner]: mine });
    figures.sample("1 record, JSON", "floor", 0, { [owner]: its });
    figures.add({ what: owner, measured: `${mine.toFixed(1)} µs a request`, floor: `${its.toFixed(1)} µs` });
  }
  const sum = (micros: ReadonlyMap<string, number>) => [...micros.values()].reduce((a, b) => a + b, 0);
  figures.add({
    what: "all of it, the start of the process included",
    measured: `${(sum(broker) / answered.broker).toFixed(1)} µs a request`,
    floor: `${(sum(floor) / answered.floor).toFixed(1)} µs`,
  });
}
