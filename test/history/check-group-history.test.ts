import { describe, expect, test } from "vitest";
import { type AcknowledgedRecord, checkGroupHistory } from "./check-group-history.ts";
import type { GroupEvent } from "./group-history.ts";

const assigned = (member: string, ...partitions: number[]): GroupEvent => ({ f: "assigned", member, partitions });
const handled = (member: string, offset: number, value = `v${offset}`): GroupEvent => {
  return { f: "handled", member, partition: 0, offset, value };
};
const committed = (member: string, nextOffset: number): GroupEvent => {
  return { f: "committed", member, partition: 0, nextOffset };
};
const asked: GroupEvent = { f: "offsetsAsked", by: "w" };
const seen = (nextOffset: number): GroupEvent => ({
  f: "offsetsSeen",
  by: "w",
  positions: [{ partition: 0, nextOffset }],
});
const killed: GroupEvent = { f: "brokerKilled" };
const acknowledged = (offset: number, value = `v${offset}`): AcknowledgedRecord => ({ partition: 0, offset, value });

function kindsOf(events: GroupEvent[], records: readonly AcknowledgedRecord[] = []): string[] {
  return checkGroupHistory({ events }, records).anomalies.map(({ kind }) => kind);
}

const begun = [assigned("a", 0), handled("a", 0), handled("a", 1)];

describe("what is allowed", () => {
  test.each<{ name: string; events: GroupEvent[] }>([
    {
      name: "a move between members",
      events: [...begun, committed("a", 2), assigned("a"), assigned("b", 0), handled("b", 2)],
    },
    { name: "again after a kill", events: [...begun, killed, assigned("b", 0), handled("b", 0)] },
    { name: "again after a death", events: [...begun, { f: "died", member: "a" }, assigned("b", 0), handled("b", 0)] },
    {
      name: "a hung member is refused, and reads again what it had not committed",
      events: [
        ...begun,
        { f: "hung", member: "a" },
        { f: "refused", member: "a", code: "UNKNOWN_MEMBER_ID" },
        assigned("a", 0),
        handled("a", 0),
      ],
    },
    {
      name: "offsets that rise",
      events: [...begun, committed("a", 1), asked, committed("a", 2), seen(1), asked, seen(2)],
    },
  ])("$name", ({ events }) => {
    expect(kindsOf(events, [acknowledged(0), acknowledged(1)])).toEqual([]);
  });
});

describe("what breaks a promise", () => {
  test.each<{ kind: string; events: GroupEvent[]; records?: AcknowledgedRecord[] }>([
    { kind: "undelivered", events: begun, records: [acknowledged(2)] },
    { kind: "inconsistentValue", events: begun, records: [acknowledged(1, "other")] },
    { kind: "inconsistentValue", events: [...begun, killed, assigned("b", 0), handled("b", 0, "other")] },
    { kind: "skipped", events: [assigned("a", 0), handled("a", 1)] },
    { kind: "outOfOrder", events: [...begun, killed, assigned("a", 0), handled("a", 0)] },
    { kind: "notOwner", events: [...begun, assigned("b", 0), handled("a", 2)] },
    { kind: "notOwner", events: [assigned("a", 1), handled("a", 0)] },
    { kind: "doubled", events: [...begun, assigned("b", 0), handled("b", 0)] },
    { kind: "doubled", events: [...begun, { f: "died", member: "b" }, assigned("b", 0), handled("b", 0)] },
    {
      kind: "doubled",
      events: [killed, ...begun, { f: "answerLost", member: "a" }, assigned("b", 0), handled("b", 1)],
    },
    { kind: "committedAgain", events: [...begun, committed("a", 2), killed, assigned("b", 0), handled("b", 1)] },
    { kind: "committedBack", events: [...begun, committed("a", 2), asked, seen(1)] },
    { kind: "committedBack", events: [...begun, committed("a", 2), asked, { f: "offsetsAsked", by: "x" }, seen(1)] },
    { kind: "committedBack", events: [...begun, asked, seen(2), asked, { f: "offsetsSeen", by: "w", positions: [] }] },
    { kind: "committedUnhandled", events: [...begun, asked, seen(3)] },
    { kind: "refusedWithoutCause", events: [...begun, { f: "refused", member: "a", code: "FENCED_MEMBER_EPOCH" }] },
    {
      kind: "refusedWithoutCause",
      events: [{ f: "notCommitted", member: "a", partition: 0, code: "STALE_MEMBER_EPOCH" }],
    },
  ])("$kind: $events", ({ kind, events, records }) => {
    expect(kindsOf(events, records)).toEqual([kind]);
  });
});
