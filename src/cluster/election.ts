// Who leads a partition and who counts as in sync, given who lives. Pure: the controller asks for the next value and writes it
// by compare-and-set.
//
// Nobody outside the in-sync set is elected unless the topic allows it, and the set is never empty: whoever is left of it when
// the others have gone keeps the partition, alive or not, for it alone surely holds every acknowledged record.

import { assert } from "../assert.ts";
import type { PartitionValue } from "./metadata-keys.ts";

/** A broker that is registered now. */
export interface LivingBroker {
  readonly brokerEpoch: number;
  readonly fenced: boolean;
  readonly shuttingDown: boolean;
  /** It came back after a kill, and no controller has taken it out of the in-sync sets yet. */
  readonly unclean: boolean;
}

export interface ElectionRules {
  /** The topic would rather lose records than wait for who has them. */
  readonly allowUnclean: boolean;
  /** Let the first replica lead if it can. */
  readonly preferFirst: boolean;
}

export interface Election {
  readonly value: PartitionValue;
  /** The new leader was not in sync: acknowledged records may be lost. To be counted. */
  readonly unclean: boolean;
}

export type LivingBrokers = ReadonlyMap<number, LivingBroker>;

/** Undefined: the value may stay as it is. */
export function elect(value: PartitionValue, brokers: LivingBrokers, rules: ElectionRules): Election | undefined {
  assert(value.inSyncReplicas.length > 0, "an in-sync set is never empty");
  const kept = keptInSync(value, brokers);
  const leader = cleanLeader(value, kept, brokers, rules.preferFirst);
  if (leader !== undefined) return change(value, leader, kept, brokers, false);
  const rescuer = rules.allowUnclean ? uncleanLeader(value, kept, brokers) : undefined;
  if (rescuer !== undefined) return change(value, rescuer, [rescuer], brokers, true);
  return change(value, -1, kept, brokers, false);
}

/** The value of a partition that has no records yet: every replica that can serve is in sync, the first of them leads. */
export function firstValue(replicas: readonly number[], brokers: LivingBrokers): PartitionValue {
  const able = replicas.filter((id) => canServe(brokers.get(id)));
  const leader = able[0];
  assert(leader !== undefined, "a partition is placed on brokers that live");
  const leaderBrokerEpoch = brokers.get(leader)!.brokerEpoch;
  return { replicas, inSyncReplicas: able, leader, leaderEpoch: 0, leaderBrokerEpoch, partitionEpoch: 0 };
}

/** True when the leader of this value is alive in the life that it was elected in. */
export function isLedNow(value: PartitionValue, brokers: LivingBrokers): boolean {
  const broker = brokers.get(value.leader);
  return broker !== undefined && !broker.fenced && broker.brokerEpoch === value.leaderBrokerEpoch;
}

function canServe(broker: LivingBroker | undefined): boolean {
  return broker !== undefined && !broker.fenced && !broker.shuttingDown;
}

/** Who can serve; if nobody can, who may still have everything; if nobody may, the one that is the likeliest to. */
function keptInSync(value: PartitionValue, brokers: LivingBrokers): readonly number[] {
  const { inSyncReplicas } = value;
  const serving = inSyncReplicas.filter((id) => canServe(brokers.get(id)));
  if (serving.length > 0) return serving;
  const intact = inSyncReplicas.filter((id) => !brokers.get(id)?.unclean);
  if (intact.length > 0) return intact;
  if (inSyncReplicas.includes(value.leader)) return [value.leader];
  return [value.replicas.find((id) => inSyncReplicas.includes(id)) ?? inSyncReplicas[0]!];
}

function cleanLeader(
  value: PartitionValue,
  kept: readonly number[],
  brokers: LivingBrokers,
  preferFirst: boolean,
): number | undefined {
  const electable = value.replicas.filter((id) => kept.includes(id) && canServe(brokers.get(id)));
  if (preferFirst && electable[0] !== undefined && electable[0] === value.replicas[0]) return electable[0];
  const staysInSync = kept.includes(value.leader) && isLedNow(value, brokers);
  if (staysInSync && electable.includes(value.leader)) return value.leader;
  // A leader that shuts down goes on until it is gone if nobody can take over.
  return electable[0] ?? (staysInSync ? value.leader : undefined);
}

function uncleanLeader(value: PartitionValue, kept: readonly number[], brokers: LivingBrokers): number | undefined {
  if (kept.some((id) => brokers.has(id))) return undefined; // back, and about to be let in
  return value.replicas.find((id) => canServe(brokers.get(id)));
}

function change(
  value: PartitionValue,
  leader: number,
  inSyncReplicas: readonly number[],
  brokers: LivingBrokers,
  unclean: boolean,
): Election | undefined {
  const leaderBrokerEpoch = leader === -1 ? -1 : brokers.get(leader)!.brokerEpoch;
  // A leader that came back in a new life gets a new epoch too: batches of one epoch come from one life.
  const isNewLeader = leader !== value.leader || (leader !== -1 && leaderBrokerEpoch !== value.leaderBrokerEpoch);
  const isSameSet = inSyncReplicas.length === value.inSyncReplicas.length && !unclean;
  if (!isNewLeader && isSameSet) return undefined;
  const next: PartitionValue = {
    ...value,
    inSyncReplicas,
    leader,
    leaderEpoch: isNewLeader ? value.leaderEpoch + 1 : value.leaderEpoch,
    leaderBrokerEpoch,
    partitionEpoch: value.partitionEpoch + 1,
  };
  return { value: next, unclean };
}
