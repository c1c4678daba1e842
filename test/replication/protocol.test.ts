// The rules of leader and follower against random histories of kills, pauses, lost and doubled messages.

import fc from "fast-check";
import { expect, test } from "vitest";
import { ProtocolWorld } from "./protocol-world.ts";

type Action = (world: ProtocolWorld, which: number, id: number) => void;

/** Each as often as it is likely. */
const actions: readonly Action[] = [
  ...Array<Action>(5).fill((world, _, id) => world.produce(id)),
  ...Array<Action>(8).fill((world, _, id) => world.fetch(id)),
  ...Array<Action>(14).fill((world, which) => world.deliver(which)),
  (world, which) => world.deliver(which, true),
  (world, which) => world.lose(which),
  (world, _, id) => world.kill(id),
  (world, _, id) => world.restart(id),
  (world, _, id) => world.expire(id),
  (world, _, id) => world.register(id),
  ...Array<Action>(3).fill((world, _, id) => world.learn(id)),
  (world) => world.control(),
  (world, which, id) => {
    world.pass(which % 150);
    world.tick(id);
  },
];

const steps = fc.array(fc.tuple(fc.nat(actions.length - 1), fc.nat(1000)), {
  minLength: 40,
  maxLength: 250,
  size: "max",
});

test("whatever happens, nothing committed is lost, doubled or reordered, and the replicas agree once faults end", () => {
  let committed = 0;
  fc.assert(
    fc.property(fc.constantFrom(2, 3, 4), fc.constantFrom(1, 2), steps, (replicas, minInSync, history) => {
      const world = new ProtocolWorld(replicas, minInSync);
      for (const [action, which] of history) {
        actions[action]!(world, which, which % replicas);
        world.check();
      }
      world.heal();
      world.check();
      const leader = world.replicas[world.stored.leader]!;
      world.produce(leader.id);
      world.heal();
      expect(world.stored.inSyncReplicas.length).toBe(replicas);
      for (const replica of world.replicas) {
        expect(replica.entries).toEqual(leader.entries);
        expect(replica.highWatermark).toBe(leader.end);
      }
      committed += world.acknowledged.length;
    }),
    { numRuns: 1500 },
  );
  expect(committed).toBeGreaterThan(5000);
});
