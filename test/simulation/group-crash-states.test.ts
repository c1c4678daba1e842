// Lives of consumer groups on the simulated disk, ended at every operation in many ways: see group-crash-explorer.ts.

import { expect, test } from "vitest";
import { CountingRandom } from "../consumer-groups/group-process.ts";
import { exploreGroupCrashes } from "./group-crash-explorer.ts";
import { GroupRun, retentionMs, sessionTimeoutMs } from "./group-run.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

/** Groups "g" and "h" are in different shards. */
const workloads: readonly {
  readonly name: string;
  prepare(run: GroupRun): Promise<void>;
  work(run: GroupRun): Promise<void>;
}[] = [
  {
    name: "the first group: its topic is made, members join and commit",
    async prepare(run) {
      await run.createTopic("t", 2);
    },
    async work(run) {
      const a = run.client("a", "g", "a", ["t"]);
      const b = run.client("b", "g", "b", ["t"]);
      await run.poll(a);
      await Promise.all([run.poll(a, { commit: true }), run.poll(b), run.commit("h", "t", 0)]);
      await run.poll(a, { commit: true });
      await run.poll(a);
      await run.poll(b);
      await run.poll(b, { commit: true, keep: true });
    },
  },
  {
    name: "members leave, come back under their instance, fall silent, are taken over",
    async prepare(run) {
      await run.createTopic("t", 4);
      await run.poll(run.client("a", "g", "a", ["t"], "one"));
      await run.poll(run.client("b", "g", "b", ["t"]));
      for (const name of ["a", "a", "b"]) await run.poll(run.clients.get(name)!, { commit: true });
    },
    async work(run) {
      const a = run.clients.get("a")!;
      const b = run.clients.get("b")!;
      const c = run.client("c", "g", "c", ["t"]);
      await run.poll(c);
      await run.leave(a, true);
      await run.poll(b, { commit: true });
      const back = run.client("a again", "g", "a2", ["t"], "one");
      await run.poll(back);
      const second = run.client("b again", "g", "b", ["t"]);
      await Promise.all([run.poll(second), run.poll(back, { commit: true }), run.poll(c)]);
      await run.leave(c);
      await run.poll(second, { commit: true });
      await run.pass(sessionTimeoutMs);
      await run.poll(back);
    },
  },
  {
    name: "topics are made, grow and go under their readers",
    async prepare(run) {
      await run.createTopic("t", 1);
      await run.poll(run.client("a", "g", "a", ["t", "u"]));
      await run.poll(run.client("b", "h", "b", ["u", "t"]));
    },
    async work(run) {
      const [a, b] = [run.clients.get("a")!, run.clients.get("b")!];
      await run.growTopic("t", 2);
      await Promise.all([run.poll(a, { commit: true }), run.poll(b, { commit: true })]);
      await Promise.all([run.poll(a, { commit: true }), run.deleteTopic("t")]);
      await run.createTopic("t", 1);
      await Promise.all([run.poll(a), run.poll(b)]);
      await run.poll(a, { commit: true });
    },
  },
  {
    name: "offsets are committed, reset, expire, and go with their group",
    async prepare(run) {
      await run.createTopic("t", 2);
      for (const groupId of ["g", "h", "i", "j"]) await run.commit(groupId, "t", 0);
    },
    async work(run) {
      await Promise.all(["g", "h", "i", "g"].map((groupId, n) => run.commit(groupId, "t", n % 2)));
      await run.reset("g", "t", 0);
      await Promise.all([run.deleteGroup("i"), run.commit("j", "t", 1), run.commit("g", "t", 1)]);
      await run.commit("i", "t", 1);
      await run.deleteGroup("h");
      await run.pass(retentionMs);
      await run.commit("g", "t", 0);
    },
  },
];

test.for(workloads.map((workload) => [workload.name, workload] as const))(
  "%s",
  { timeout: 60_000 },
  async ([, { prepare, work }]) => {
    const newRun = () => new GroupRun(new SimulatedDisk(), new CountingRandom());
    const explored = await exploreGroupCrashes(newRun, prepare, work);
    expect(explored.states).toBeGreaterThan(50);
    expect(explored.recoveries).toBeGreaterThan(explored.states);
  },
);
