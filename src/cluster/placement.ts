// On which brokers the replicas of new partitions go. Pure, and the same for the same input.
//
// Replicas of a partition are on different brokers, and on different racks while there are racks left. Each broker gets as many
// replicas as the others, and as many leaders (first replicas), as far as the racks allow: a rack with few brokers carries more.

import { assert } from "../assert.ts";

export interface PlacementBroker {
  readonly brokerId: number;
  /** Null: it shares a rack with nobody. */
  readonly rack: string | null;
}

export interface PlacementRequest {
  readonly brokers: readonly PlacementBroker[];
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Which broker is first in line: any number ≥ 0, drawn per topic, so that small topics do not all begin at one broker. */
  readonly startIndex: number;
  /** Replicas of the topic's partitions that are there already. */
  readonly placed?: readonly (readonly number[])[];
}

interface Candidate {
  readonly brokerId: number;
  readonly rack: string;
  replicas: number;
  leaders: number;
}

/** For each new partition its replicas, the preferred leader first. */
export function placeReplicas(request: PlacementRequest): number[][] {
  const { partitionCount, replicationFactor } = request;
  assert(replicationFactor >= 1 && replicationFactor <= request.brokers.length, "more replicas than brokers");
  const line = candidates(request);
  const placements: number[][] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    const chosen = choose(line, replicationFactor);
    const leader = chosen.reduce((best, each) => (each.leaders < best.leaders ? each : best));
    leader.leaders += 1;
    const ordered = [leader, ...chosen.filter((each) => each !== leader)];
    placements.push(ordered.map(({ brokerId }) => brokerId));
  }
  return placements;
}

/** Neighbours in line are on different racks; the line begins where the request says. */
function candidates({ brokers, startIndex, placed = [] }: PlacementRequest): Candidate[] {
  const racks = new Map<string, Candidate[]>();
  for (const { brokerId, rack } of [...brokers].sort((a, b) => a.brokerId - b.brokerId)) {
    const name = rack === null ? `broker ${brokerId}` : `rack ${rack}`;
    const replicas = placed.filter((ids) => ids.includes(brokerId)).length;
    const leaders = placed.filter((ids) => ids[0] === brokerId).length;
    const candidate = { brokerId, rack: name, replicas, leaders };
    racks.set(name, [...(racks.get(name) ?? []), candidate]);
  }
  const line: Candidate[] = [];
  for (let row = 0; line.length < brokers.length; row++)
    for (const members of racks.values()) line.push(...members.slice(row, row + 1));
  const first = startIndex % line.length;
  return [...line.slice(first), ...line.slice(0, first)];
}

function choose(line: readonly Candidate[], count: number): Candidate[] {
  const chosen: Candidate[] = [];
  while (chosen.length < count) {
    const inRack = (rack: string) => chosen.filter((each) => each.rack === rack).length;
    const best = line
      .filter((each) => !chosen.includes(each))
      .reduce((best, each) => {
        const byRack = inRack(each.rack) - inRack(best.rack);
        return byRack < 0 || (byRack === 0 && each.replicas < best.replicas) ? each : best;
      });
    best.replicas += 1;
    chosen.push(best);
  }
  return chosen;
}
