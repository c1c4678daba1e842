// __consumer_offsets as the coordinator writes it: what one request made is in the log whole or not at all, however the write ends.

import { expect, test } from "vitest";
import { OffsetsTopic, offsetsTopic } from "../../src/broker/group-logs.ts";
import type { GroupCoordinator } from "../../src/consumer-groups/coordinator.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { CountingRandom, GroupProcess } from "../consumer-groups/group-process.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

const random = new CountingRandom();
const metadataBytes = 4000;

type Request = (coordinator: GroupCoordinator) => Promise<unknown>;

const poll = (memberId: string, memberEpoch?: number) =>
  ({
    kind: "poll",
    groupId: "g",
    memberId,
    forRecords: true,
    ...(memberEpoch === undefined ? { topics: ["t"] } : { memberEpoch }),
  }) as const;

/** About this many bytes of other records are on their way when the request comes; the power is cut before the last write. */
async function cutBehind(
  bytes: number,
  prepare: Request,
  request: Request,
): Promise<{ disk: SimulatedDisk; writes: number }> {
  const disk = new SimulatedDisk();
  const { coordinator, topics } = await GroupProcess.start(disk, { random, settings: { groupPartitionCount: 1 } });
  await topics.create({ name: "t", partitionCount: 4 });
  await prepare(coordinator);
  let cut = disk.copy();
  let writes = 0;
  disk.onOperation = ({ kind }) => {
    if (kind !== "append") return;
    cut = disk.copy();
    writes += 1;
  };
  for (let sent = 0, n = 0; sent < bytes; sent += metadataBytes, n++) {
    const metadata = "x".repeat(Math.min(metadataBytes, bytes - sent));
    const positions = [{ topic: "t", partition: 0, nextOffset: 1, metadata }];
    void coordinator.request({ kind: "commit", groupId: `filler ${n}`, positions });
  }
  void request(coordinator);
  await settled();
  cut.kill();
  return { disk: cut, writes };
}

/** The request is sent again, as a client does that has no answer; then the members share the topic. */
async function checkShares(disk: SimulatedDisk, request: Request, members: readonly string[]): Promise<void> {
  const { coordinator } = await GroupProcess.start(disk, { random });
  await request(coordinator).catch((error) => expect(error).toMatchObject({ code: "UNKNOWN_MEMBER_ID" }));
  const epochs = new Map<string, number>();
  const shares = new Map<string, number>();
  for (let round = 0; round < 3; round++)
    for (const memberId of members) {
      const { memberEpoch, assignment } = await coordinator.poll(poll(memberId, epochs.get(memberId)));
      epochs.set(memberId, memberEpoch);
      shares.set(memberId, assignment[0]?.partitions.length ?? 0);
    }
  expect([...shares.values()]).toEqual(members.map(() => 4 / members.length));
  await coordinator.close();
}

test.each([
  { what: "join", before: ["a"], request: (coordinator: GroupCoordinator) => coordinator.poll(poll("b")) },
  {
    what: "leave",
    before: ["a", "b"],
    request: (coordinator: GroupCoordinator) =>
      coordinator.request({ kind: "leave", groupId: "g", memberId: "b" } as const),
  },
] satisfies { what: string; before: string[]; request: Request }[])(
  "a $what is in the log as a whole or not at all",
  { timeout: 60_000 },
  async ({ what, before, request }) => {
    const seen = new Set<number>();
    for (let bytes = 250_000; bytes < 256_000; bytes += 80) {
      const { disk, writes } = await cutBehind(
        bytes,
        async (coordinator) => {
          for (const memberId of before) await coordinator.poll(poll(memberId));
        },
        request,
      );
      seen.add(writes);
      await checkShares(disk, request, what === "join" ? ["a", "b"] : ["a"]).catch((error) => {
        error.message += ` behind ${bytes} bytes`;
        throw error;
      });
    }
    expect([...seen].sort()).toEqual([1, 2]); // the request fits into a write with the others, and it does not
  },
);

test("more than may wait for the disk, and a change larger than a write, are appended all the same", async () => {
  const disk = new SimulatedDisk();
  const settings = { groupPartitionCount: 1, appendQueueBytesMax: 64 * 1024, appendGroupBytesMax: 2 * 1024 * 1024 };
  const { parts, topics } = await GroupProcess.start(disk, { random, settings });
  const log = await new OffsetsTopic(parts, topics).open(0);
  const record = (n: number) => ({ key: new Uint8Array([n >> 8, n & 255]), value: new Uint8Array(10_000).fill(n) });
  const changes = [range(0, 1), range(1, 31), range(31, 300), range(300, 301), range(301, 500)];
  await log.append(changes.map((numbers) => numbers.map(record)));
  const keys: number[] = [];
  await log.replay(([high, low]) => keys.push(high! * 256 + low!));
  expect(keys).toEqual(range(0, 500));
  const tooLarge = { key: new Uint8Array(1), value: new Uint8Array(settings.appendGroupBytesMax) };
  await expect(log.append([[tooLarge]])).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
});

test("what is refused behind a part that is in the log already is in doubt, whatever the refusal says", async () => {
  const disk = new SimulatedDisk();
  const settings = { groupPartitionCount: 1, appendQueueBytesMax: 64 * 1024 };
  const { parts, topics } = await GroupProcess.start(disk, { random, settings });
  const log = await new OffsetsTopic(parts, topics).open(0);
  const partition = parts.partitions.get(offsetsTopic, 0);
  const changes = [0, 1].map((n) => [{ key: new Uint8Array([n]), value: new Uint8Array(200_000) }]);
  const refusal = new BrokerError("KAFKA_STORAGE_ERROR", "the disk is almost full");
  const append = Object.getPrototypeOf(partition).append.bind(partition) as typeof partition.append;
  let appends = 0;
  partition.append = (...batch) => (++appends % 2 === 1 ? append(...batch) : Promise.reject(refusal));
  await expect(log.append(changes)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR", maybeAppended: true });
  expect(partition.log.logEndOffset).toBe(1);
  partition.append = () => Promise.reject(refusal);
  await expect(log.append(changes)).rejects.toMatchObject({ maybeAppended: false });
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
