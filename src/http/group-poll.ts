// A poll's answer: the records of the assigned partitions, shared out fairly, between what the broker says of the member and where each
// partition would go on.

import type { PollAnswer } from "../broker/group-calls.ts";
import { JsonPageWriter, MsgpackPageWriter, type PageWriter } from "./formats/page-writer.ts";
import type { PollPlan } from "./group-poll-call.ts";
import { mediaTypes } from "./media-type.ts";
import { sendPage } from "./page-answer.ts";
import { RecordWalk, shareRecords, type Unreadable, unreadableBatch } from "./record-walk.ts";
import type { Exchange } from "./route.ts";

export async function answerPoll(exchange: Exchange, plan: PollPlan): Promise<void> {
  const answer = await exchange.http.broker.pollGroup(plan.call);
  const { memberEpoch, heartbeatIntervalMs, assignment, notCommitted, reset } = answer;
  const head = { memberEpoch, heartbeatIntervalMs, assignment };
  const { keyFormat, valueFormat } = plan;
  const writer =
    exchange.mediaType === mediaTypes.msgpack
      ? new MsgpackPageWriter(head)
      : new JsonPageWriter(head, { keyFormat, valueFormat, lineBreaks: "kept" });
  const positions = writeRecords(exchange, plan, answer, writer);
  const page = writer.finish({ positions, notCommitted: ifAny(notCommitted), reset: ifAny(reset) });
  await sendPage(exchange, page);
}

const ifAny = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list);

/** Gives where each partition goes on. */
function writeRecords(
  { http }: Exchange,
  { maxRecords, maxBytes }: PollPlan,
  answer: PollAnswer,
  writer: PageWriter,
): PollAnswer["positions"] {
  const walk = new RecordWalk(http.broker.codecs, http.settings);
  const next = new Map(answer.positions.map(({ topic, partition, nextOffset }) => [key(topic, partition), nextOffset]));
  const bytesBefore = writer.sizeBytes;
  let refused: { readonly topic: string; readonly partition: number; readonly unreadable: Unreadable } | undefined;
  let moved = false;
  shareRecords(answer.fetched, maxRecords, (one, share) => {
    const { topic, partition, batches } = one;
    const from = next.get(key(topic, partition))!;
    http.topicMetrics.of(topic).bytesOut.inc(batches.byteLength);
    let taken = 0;
    let full = false;
    const walked = walk.run(one, { from, until: Number.POSITIVE_INFINITY }, (record) => {
      writer.add(record, partition, topic);
      taken += 1;
      full = writer.sizeBytes - bytesBefore >= maxBytes;
      return taken < share && !full;
    });
    next.set(key(topic, partition), walked.nextOffset);
    if (walked.nextOffset > from) moved = true;
    if (walked.unreadable !== undefined) refused ??= { topic, partition, unreadable: walked.unreadable };
    return { taken, full };
  });
  if (refused !== undefined && !moved && !answer.hasNews) throw unreadablePartition(refused, answer.memberEpoch);
  return answer.positions.map(({ topic, partition }) => ({
    topic,
    partition,
    nextOffset: next.get(key(topic, partition))!,
  }));
}

const key = (topic: string, partition: number): string => `${topic}-${partition}`;

/** Only once nothing else can be read: one decayed batch does not hold up the other partitions. */
function unreadablePartition(
  {
    topic,
    partition,
    unreadable,
  }: { readonly topic: string; readonly partition: number; readonly unreadable: Unreadable },
  memberEpoch: number,
) {
  const nextOffset = unreadable.lastOffset + 1;
  const goOn = `of ${topic}-${partition} a commit or position with nextOffset ${nextOffset}`;
  return unreadableBatch(unreadable, goOn, { topic, partition, nextOffset, memberEpoch });
}
