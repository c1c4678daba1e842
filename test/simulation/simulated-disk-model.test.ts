// Random changes and syncs of one file, compared with arrays: the newest content, the one of the last sync, and that a
// power cut leaves of each sector only what it once held.

import fc from "fast-check";
import { expect, test } from "vitest";
import { SimulatedDisk } from "./simulated-disk.ts";

const change = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), at: fc.constant(0), size: fc.integer({ min: 1, max: 1_500 }) }),
  fc.record({ kind: fc.constant("write" as const), at: fc.nat(9_999), size: fc.integer({ min: 1, max: 1_500 }) }),
  fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(9_999), size: fc.constant(0) }),
  fc.record({ kind: fc.constant("sync" as const), at: fc.constant(0), size: fc.constant(0) }),
);

const sectorsOf = (content: Uint8Array) =>
  Array.from({ length: Math.ceil(content.length / 512) }, (_, sector) =>
    content.slice(sector * 512, sector * 512 + 512),
  );

/**
 * Whether the bytes are the start of a version of the sector, with zeros behind. The start may end anywhere: growth survives as any prefix,
 * and a file that was left short so may grow again by a later change.
 */
function comesFrom(sector: Uint8Array, versions: readonly Uint8Array[]): boolean {
  return versions.some((version) => {
    const differs = sector.findIndex((byte, index) => byte !== (version[index] ?? 0));
    return differs === -1 || sector.subarray(differs).every((byte) => byte === 0);
  });
}

test("everything is the newest, nothing is the last sync, anything else mixes what the sectors held", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 12 }), fc.nat(), async (changes, seed) => {
      const machine = new SimulatedDisk({ folders: ["/data"] });
      const disk = machine.startProcess();
      const file = await disk.create("/data/a");
      await disk.syncDir("/data");
      let synced = new Uint8Array(0);
      let versions: Uint8Array[] = [synced];
      for (const [index, step] of changes.entries()) {
        const content = new Uint8Array(step.size).fill(index + 1);
        if (step.kind === "append") await file.append([content]);
        else if (step.kind === "write") await file.write(step.at % (file.sizeBytes + 1), content);
        else if (step.kind === "truncate") await file.truncate(step.at % (file.sizeBytes + 1));
        else {
          await file.sync();
          synced = machine.contentOf("/data/a").slice();
          versions = [];
        }
        versions.push(machine.contentOf("/data/a"));
      }
      const newest = machine.copy();
      newest.powerCut({ keep: "everything" });
      expect(Buffer.compare(newest.contentOf("/data/a"), machine.contentOf("/data/a"))).toBe(0);
      const oldest = machine.copy();
      oldest.powerCut({ keep: "nothing" });
      expect(Buffer.compare(oldest.contentOf("/data/a"), synced)).toBe(0);

      const sizes = versions.map((version) => version.length);
      const history = versions.map(sectorsOf);
      const drawn = (more: number) => ({ keep: "drawn", seed: seed + more, rest: "zeros" }) as const;
      const choices = [...machine.powerCutChoices(), drawn(0), drawn(1), drawn(2)];
      for (const choice of choices) {
        const cut = machine.copy();
        cut.powerCut(choice);
        const left = cut.contentOf("/data/a");
        expect(left.length).toBeLessThanOrEqual(Math.max(...sizes));
        expect(left.length).toBeGreaterThanOrEqual(Math.min(...sizes));
        for (const [sector, content] of sectorsOf(left).entries()) {
          const held = history.map((version) => version[sector] ?? new Uint8Array(0));
          expect(comesFrom(content, held), `sector ${sector} after ${JSON.stringify(choice)}`).toBe(true);
        }
      }
    }),
    { numRuns: 150 },
  );
});
