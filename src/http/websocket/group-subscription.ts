// A member of a consumer group, carried by a socket: what is assigned is delivered within the window, acks are commits, and a partition
// that goes to another member goes as soon as all that was delivered of it is acked, at the latest at its deadline.

import type { PollAnswer, PollCall, Position, TopicPartitions } from "../../broker/group-calls.ts";
import type { Timer } from "../../io/clock.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { invalidField } from "../formats/body-refusal.ts";
import { checkCount, checkName, checkTopicNames } from "../group-names.ts";
import { readPositions } from "../group-positions.ts";
import { maxTopicsPerMember } from "../limits.ts";
import { unexpected } from "../problem.ts";
import type { AckWindow } from "./ack-window.ts";
import type { FrameId, SubscribeGroupFrame } from "./client-frames.ts";
import type { FrameSender } from "./frame-sender.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { GroupPolls, type PollsHost } from "./group-polls.ts";
import { type CursorOwner, PartitionCursor } from "./partition-cursor.ts";
import type { RecordStyle } from "./record-range.ts";
import { groupWindowDefault, lookAgainMs, revokeDeadlineMs } from "./socket-limits.ts";
import { checkInLog } from "./subscribe-plan.ts";
import { beyondDelivered, ifAny, type Subscription, type SubscriptionHost, styleOf, windowOf } from "./subscription.ts";

/** A partition this member holds. */
interface Holding {
  readonly topic: string;
  readonly partition: number;
  readonly cursor: PartitionCursor;
  /** It left the assignment; kept until what was delivered is acked, or until the deadline. */
  revoking: Timer | undefined;
}

const keyOf = (topic: string, partition: number): string => `${topic}/${partition}`;

export class GroupSubscription implements Subscription, CursorOwner, PollsHost {
  readonly id: FrameId;
  readonly style: RecordStyle;
  readonly window: AckWindow;
  readonly #host: SubscriptionHost;
  readonly #frame: SubscribeGroupFrame;
  readonly #polls: GroupPolls;
  readonly #holdings = new Map<string, Holding>();
  /** Acks that are not durable yet, the last of each partition. */
  readonly #acks = new Map<string, Position>();
  #assignment: readonly TopicPartitions[] = [];
  /** Something is assigned of which it is not known from where to read it. */
  #wantsPlaces = true;
  #hasJoined = false;
  #ended = false;

  constructor(host: SubscriptionHost, frame: SubscribeGroupFrame) {
    checkFrame(frame);
    this.id = frame.id;
    this.#host = host;
    this.#frame = frame;
    this.style = styleOf(host.writer, frame);
    this.window = windowOf({ ...groupWindowDefault, ...frame.window });
    this.#polls = new GroupPolls(host.http, frame.group, frame.memberId, this);
  }

  get sender(): FrameSender {
    return this.#host.sender;
  }
  get writer(): FrameWriter {
    return this.#host.writer;
  }
  get partitionCount(): number {
    return this.#holdings.size;
  }

  open(): Promise<void> {
    return this.#polls.join();
  }

  nextCall(memberEpoch: number | undefined): PollCall | undefined {
    if (!this.#host.answersPings) return undefined;
    const { group, memberId, topics, instanceId, sessionTimeoutMs, offsetReset } = this.#frame;
    const joining = memberEpoch === undefined ? { topics, instanceId, sessionTimeoutMs } : {};
    const held = [...this.#holdings.values()];
    const positions = held.map(({ topic, partition, cursor }) => ({ topic, partition, nextOffset: cursor.position }));
    return {
      groupId: group,
      memberId,
      memberEpoch,
      ...joining,
      commit: ifAny([...this.#acks.values()]),
      owned: memberEpoch === undefined ? undefined : grouped(held),
      offsetReset: offsetReset ?? "earliest",
      ...(this.#wantsPlaces ? { positions, forRecords: true } : { forRecords: false }),
      maxBytes: 1,
      waitMs: 0,
    };
  }

  answered(answer: PollAnswer, call: PollCall): number | undefined {
    this.#committed(answer, call.commit ?? []);
    const revoked = this.#revoke(answer.assignment);
    const { missing, gained } = this.#gain(answer);
    this.#wantsPlaces = missing;
    if (missing && !call.forRecords) this.#polls.wake();
    if (revoked || gained.length > 0 || !this.#hasJoined) this.#sayAssigned(answer.reset);
    this.#hasJoined = true;
    this.#release();
    this.#pumpAll();
    return missing ? lookAgainMs : undefined;
  }

  refused(error: unknown): void {
    if (this.#ended) return;
    const refusal = error instanceof BrokerError ? error : unexpected(error);
    this.drop();
    if (refusal.code !== "FENCED_MEMBER_EPOCH") this.#host.problem(this.id, refusal);
    this.#host.closed(this, refusal.code);
  }

  ack(positions: unknown): void {
    const found = this.#find(positions);
    for (const [{ cursor }, { nextOffset }] of found) {
      if (nextOffset > cursor.position) throw beyondDelivered(cursor, nextOffset);
    }
    for (const [{ cursor }, position] of found) {
      this.window.acked(cursor.unacked, position.nextOffset);
      const key = keyOf(position.topic, position.partition);
      if (position.nextOffset >= (this.#acks.get(key)?.nextOffset ?? 0)) this.#acks.set(key, position);
    }
    this.#pumpAll();
    this.#polls.wake();
  }

  async seek(positions: unknown): Promise<void> {
    const found = this.#find(positions);
    for (const [, position] of found) await checkInLog(this.#host.http, position);
    if (this.#ended) return;
    for (const [{ cursor, revoking }, { nextOffset }] of found) {
      // Of what is going, only back: the client will not handle what was delivered from there on.
      if (revoking === undefined || nextOffset < cursor.position) cursor.seek(nextOffset);
    }
    this.sender.send(this.writer.frame({ type: "ok", id: this.id }));
    this.#release();
    this.#pumpAll();
  }

  async unsubscribe(): Promise<void> {
    for (const { cursor } of this.#holdings.values()) cursor.stop();
    const { broker } = this.#host.http;
    const { group, memberId } = this.#frame;
    await this.#polls.settled();
    if (this.#ended) return;
    this.#polls.stop();
    const call = this.nextCall(this.#polls.memberEpoch);
    try {
      // Says the last acks, and learns whether the member is still this one: a leave names no epoch.
      if (call !== undefined && call.memberEpoch !== undefined) {
        const answer = await broker.pollGroup({ ...call, forRecords: false });
        this.#committed(answer, call.commit ?? []);
        await broker.leaveGroup(group, memberId);
      }
    } catch (error) {
      if (!(error instanceof BrokerError) || !gone.has(error.code)) this.#host.problem(this.id, asRefusal(error));
    }
    this.drop();
    this.#host.closed(this);
  }

  async settle(): Promise<void> {
    for (const { cursor } of this.#holdings.values()) cursor.stop();
    await this.#polls.settled();
    this.drop();
  }

  drop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#polls.stop();
    for (const holding of [...this.#holdings.values()]) this.#letGo(holding);
  }

  waitForSocket(cursor: PartitionCursor): void {
    this.#host.waitForSocket(cursor);
  }

  finished(): void {} // a group reads for ever

  /** One partition that cannot be read does not hold up the others; it is tried again with the next heartbeat. */
  failed(cursor: PartitionCursor, error: BrokerError): void {
    const { offsetReset = "earliest" } = this.#frame;
    if (error.code === "UNKNOWN_TOPIC_OR_PARTITION") return; // not open yet, or deleted: the assignment will say
    if (error.code === "OFFSET_OUT_OF_RANGE" && offsetReset !== "error") void this.#resetGone(cursor, offsetReset);
    else this.#host.problem(this.id, error);
  }

  async #resetGone(cursor: PartitionCursor, kind: "earliest" | "latest"): Promise<void> {
    const { topic, partition } = cursor.feed;
    try {
      const [place] = await this.#host.http.broker.resolveOffsets(topic, [partition], { kind });
      if (this.#ended || place === undefined) return;
      const from = cursor.position;
      cursor.seek(place.offset);
      this.#sayAssigned([{ topic, partition, from, to: place.offset }]);
      cursor.pump();
    } catch (error) {
      this.#host.problem(this.id, asRefusal(error));
    }
  }

  #committed({ notCommitted }: PollAnswer, sent: readonly Position[]): void {
    if (sent.length === 0) return;
    const refused = new Set(notCommitted.map(({ topic, partition }) => keyOf(topic, partition)));
    const durable: Position[] = [];
    for (const position of sent) {
      const key = keyOf(position.topic, position.partition);
      if (this.#acks.get(key) === position) this.#acks.delete(key);
      if (refused.has(key)) continue;
      durable.push(position);
    }
    if (durable.length > 0) this.sender.send(this.writer.frame({ type: "acked", id: this.id, positions: durable }));
    for (const { topic, partition, code } of notCommitted) this.#host.problem(this.id, notHeld(topic, partition, code));
  }

  /** Stops what left the assignment, and says so. */
  #revoke(assignment: readonly TopicPartitions[]): boolean {
    const assigned = new Set(assignment.flatMap(({ topic, partitions }) => partitions.map((one) => keyOf(topic, one))));
    const going = [...this.#holdings].filter(([key, { revoking }]) => revoking === undefined && !assigned.has(key));
    if (going.length === 0) return false;
    for (const [, holding] of going) {
      holding.cursor.stop();
      holding.revoking = this.#host.http.clock.setTimer(revokeDeadlineMs, () => {
        this.#letGo(holding);
        this.#polls.wake();
      });
    }
    const partitions = going.map(([, { topic, partition }]) => ({ topic, partition }));
    this.sender.send(this.writer.frame({ type: "revoking", id: this.id, partitions, deadlineMs: revokeDeadlineMs }));
    return true;
  }

  #gain({ assignment, positions }: PollAnswer): { missing: boolean; gained: readonly Holding[] } {
    const places = new Map(positions.map((place) => [keyOf(place.topic, place.partition), place.nextOffset]));
    const gained: Holding[] = [];
    let missing = false;
    for (const { topic, partitions } of assignment) {
      for (const partition of partitions) {
        const key = keyOf(topic, partition);
        if (this.#holdings.has(key)) continue;
        const holding = this.#hold(topic, partition, places.get(key));
        if (holding === undefined) missing = true;
        else gained.push(holding);
      }
    }
    this.#assignment = assignment;
    return { missing, gained };
  }

  #hold(topic: string, partition: number, from: number | undefined): Holding | undefined {
    if (from === undefined) return undefined;
    let info: ReturnType<SubscriptionHost["http"]["broker"]["topic"]>;
    try {
      info = this.#host.http.broker.topic(topic, "read");
    } catch {
      return undefined; // deleted meanwhile: the assignment will say
    }
    if (info instanceof Promise) return undefined;
    const feed = this.#host.feeds.hold(info, partition);
    const cursor = new PartitionCursor(this, feed, from, Number.POSITIVE_INFINITY);
    const holding: Holding = { topic, partition, cursor, revoking: undefined };
    this.#holdings.set(keyOf(topic, partition), holding);
    return holding;
  }

  #sayAssigned(reset: PollAnswer["reset"]): void {
    const { memberEpoch } = this.#polls;
    const positions = [...this.#holdings.values()]
      .filter(({ revoking }) => revoking === undefined)
      .map(({ topic, partition, cursor }) => ({ topic, partition, nextOffset: cursor.position }));
    const assignment = this.#assignment;
    this.sender.send(
      this.writer.frame({ type: "assigned", id: this.id, memberEpoch, assignment, positions, reset: ifAny(reset) }),
    );
  }

  /** Lets go of what is revoked and wholly acked, once that is durable; the next poll says so. */
  #release(): void {
    for (const [key, holding] of [...this.#holdings]) {
      if (holding.revoking === undefined || !holding.cursor.unacked.isEmpty || this.#acks.has(key)) continue;
      this.#letGo(holding);
      this.#polls.wake();
    }
  }

  #letGo(holding: Holding): void {
    const { topic, partition, cursor } = holding;
    const key = keyOf(topic, partition);
    if (this.#holdings.get(key) !== holding) return;
    holding.revoking?.cancel();
    cursor.stop();
    this.window.forget(cursor.unacked);
    this.#host.feeds.release(cursor.feed);
    this.#holdings.delete(key);
    this.#acks.delete(key);
  }

  #pumpAll(): void {
    for (const { cursor } of [...this.#holdings.values()]) cursor.pump();
  }

  #find(positions: unknown): readonly (readonly [Holding, Position])[] {
    return (readPositions("positions", positions) ?? []).map((position) => {
      const holding = this.#holdings.get(keyOf(position.topic, position.partition));
      if (holding !== undefined) return [holding, position] as const;
      throw notHeld(position.topic, position.partition, "STALE_MEMBER_EPOCH");
    });
  }
}

/** Answers to a leave that are as good as having left. */
const gone: ReadonlySet<string> = new Set(["UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "GROUP_ID_NOT_FOUND"]);

const asRefusal = (error: unknown): BrokerError => (error instanceof BrokerError ? error : unexpected(error));

const notHeld = (topic: string, partition: number, code: BrokerError["code"]): BrokerError =>
  new BrokerError(
    code,
    `this member does not hold ${topic}-${partition}: what was delivered of it comes again elsewhere`,
    {
      fields: { topic, partition },
    },
  );

function grouped(holdings: readonly Holding[]): readonly TopicPartitions[] {
  const topics = new Map<string, number[]>();
  for (const { topic, partition } of holdings) {
    const partitions = topics.get(topic);
    if (partitions === undefined) topics.set(topic, [partition]);
    else partitions.push(partition);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}

function checkFrame({ group, memberId, topics, instanceId }: SubscribeGroupFrame): void {
  checkName("group", group);
  checkName("memberId", memberId);
  if (instanceId !== undefined) checkName("instanceId", instanceId);
  if (topics.length === 0) throw invalidField("topics", "must name a topic");
  checkCount("topics", topics.length, "maxTopicsPerMember", maxTopicsPerMember);
  checkTopicNames("topics", topics);
}
