// Carries out a plan on the logs of one disk, and writes down in the history what it asked and what was answered.

import { DiskError } from "../../src/io/disk.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import type { AppendInfo } from "../../src/log/write-group.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { formatTopicId } from "../../src/protocol/topic-partition.ts";
import { batchOf } from "../log/log-fixture.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { checkLog } from "./laws/log-laws.ts";
import { type ExpectedLog, History, type SentBatch, type TopicOverrides } from "./log-history.ts";
import { contentOf, type ObservedLog } from "./log-observation.ts";
import type { SendSketch, Step } from "./log-plan.ts";
import { dataDir, knownPartition, LogProcess } from "./log-process.ts";
import { lastOf, producersOf, retriesOf } from "./log-producers.ts";
import { settled } from "./simulated-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const firstKeyId = 2n ** 62n;
const retryWindow = 5;
const timeoutMs = 30_000;

export function newDisk(): SimulatedDisk {
  return new SimulatedDisk({ folders: [dataDir] });
}

export class LogRunner {
  readonly disk: SimulatedDisk;
  readonly history: History;
  process: LogProcess | undefined;
  wallMs: number;
  /** What the next batch is told apart by. */
  #nextId: number;
  #topicIds: number;
  /** The steps may meet faults: an answer of KAFKA_STORAGE_ERROR is no broken law. */
  readonly #faulty: boolean;

  constructor(disk = newDisk(), history = new History(), options: { faulty?: boolean } = {}) {
    this.disk = disk;
    this.history = history;
    this.#faulty = options.faulty ?? false;
    this.wallMs = Date.UTC(2026, 0, 1) + history.events.length * 1000;
    this.#nextId = history.events.length;
    this.#topicIds = history.events.length;
  }

  /** False when the disk crashed on the way. */
  async run(plan: readonly Step[]): Promise<boolean> {
    for (const step of plan) {
      if (!(await this.#whole(this.#step(step), JSON.stringify(step)))) return false;
    }
    return true;
  }

  /** Opens what the disk holds and begins to lead. */
  async start(): Promise<boolean> {
    return await this.#whole(this.#start(), "start");
  }

  /** False when the disk did not let it. */
  async tryStart(): Promise<boolean> {
    try {
      return await this.start();
    } catch (error) {
      if (error instanceof DiskError) return false;
      throw error;
    }
  }

  /** Only recovers. */
  async load(): Promise<boolean> {
    return await this.#whole(this.#load(), "load");
  }

  async lead(): Promise<boolean> {
    return await this.#whole(this.process!.lead(), "lead");
  }

  /** Closes in order. */
  async close(): Promise<boolean> {
    return await this.#whole(this.#close(), "close");
  }

  /** Checks every law on every log; gives what they hold. */
  async check(powerWasCut = false): Promise<ObservedLog[]> {
    let observed: ObservedLog[] = [];
    const work = async () => {
      observed = await this.#checkAll(powerWasCut);
    };
    await this.#whole(work(), "check");
    return observed;
  }

  /** After a start: what it found is known from now on. */
  async checkRecovered(powerWasCut: boolean): Promise<ObservedLog[]> {
    const observed = await this.check(powerWasCut);
    for (const log of observed) this.history.add({ kind: "recovered", log });
    return observed;
  }

  async #checkAll(powerWasCut: boolean): Promise<ObservedLog[]> {
    const observed: ObservedLog[] = [];
    for (const expected of this.history.logs.values()) {
      if (this.#faulty && !this.process!.find(expected)) continue;
      observed.push(await checkLog(expected, this.process!.log(expected), powerWasCut));
    }
    return observed;
  }

  /** Waits for what needs no time but the disk's; false when the disk crashed before its end. */
  async #whole(work: Promise<void>, what: string): Promise<boolean> {
    let isDone = false;
    let failure: unknown;
    work.then(
      () => (isDone = true),
      (error) => {
        isDone = true;
        failure = error;
      },
    );
    for (let turns = 0; turns < turnsMax && !isDone && !this.disk.hasCrashed; turns++) await settled();
    if (this.disk.hasCrashed) return false;
    if (!isDone) throw new LawBroken("L12", `${what} never ends`);
    if (failure !== undefined) throw failure;
    return true;
  }

  async #load(): Promise<void> {
    this.process = await LogProcess.load(this.disk.startProcess(), this.history, this.wallMs);
  }

  async #start(): Promise<void> {
    await this.#load();
    await this.process!.lead();
  }

  async #close(): Promise<void> {
    const { manager, clock } = this.process!;
    this.wallMs = clock.nowMs() + 1;
    const closed = await this.#refusable(manager.close(1).then(() => true));
    this.process = undefined;
    this.disk.kill();
    if (!closed || this.#faulty) return;
    for (const { topicId, acknowledgedEnd } of this.history.logs.values())
      this.history.add({ kind: "flushed", topicId, offset: acknowledgedEnd });
  }

  async #step(step: Step): Promise<void> {
    const { manager, clock } = this.process!;
    if (this.#faulty && step.do !== "create" && "topic" in step && !this.history.byName(step.topic)) return;
    switch (step.do) {
      case "create":
        return await this.#create(step.topic, step.overrides ?? {});
      case "delete": {
        const topicId = this.#expected(step.topic).topicId;
        this.history.add({ kind: "forgotten", name: step.topic });
        return void (await this.#refusable(manager.delete([{ topic: step.topic, topicId, partition: 0 }])));
      }
      case "send":
        return await this.#sendNew(this.#expected(step.topic), step.batches);
      case "retry":
        return await this.#retry(this.#expected(step.topic), step.window ?? retryWindow);
      case "deleteRecords":
        return await this.#deleteRecords(this.#expected(step.topic), step.part);
      case "retention":
        for (const expected of this.history.logs.values()) {
          const offset = this.process!.find(expected)?.highWatermark;
          if (offset !== undefined) this.history.add({ kind: "startAsked", topicId: expected.topicId, offset });
        }
        return void (await this.#refusable(manager.applyRetention()));
      case "flush": {
        const expected = this.#expected(step.topic);
        const log = this.process!.find(expected);
        if (!log) return;
        const offset = log.logEndOffset;
        await this.#refusable(
          log.flush().then(() => this.history.add({ kind: "flushed", topicId: expected.topicId, offset })),
        );
        return;
      }
      case "configure":
        return await this.#configure(this.#expected(step.topic), step.overrides);
      case "advance":
        return await clock.advance(step.ms);
      case "checkSpace":
        return await this.process!.guard.check();
      case "check":
        return void (await this.#refusable(this.#checkAll(false)));
      case "restart":
        await this.#close();
        return await this.#start();
    }
  }

  #expected(name: string): ExpectedLog {
    const expected = this.history.byName(name);
    if (!expected) throw new Error(`the plan uses topic ${name} before it is created`);
    return expected;
  }

  async #create(name: string, overrides: TopicOverrides): Promise<void> {
    if (this.history.byName(name)) return;
    const idBytes = new Uint8Array(16).fill(7);
    viewOf(idBytes).setUint32(12, ++this.#topicIds);
    const topicId = formatTopicId(idBytes);
    const { manager } = this.process!;
    const known = { topic: name, topicId, partition: 0, config: topicConfig(overrides) };
    const created = await this.#refusable(manager.create([known]).then(() => true));
    if (!created) return;
    this.history.add({ kind: "known", name, topicId, overrides });
    await this.#refusable(this.process!.leadOne(this.#expected(name)));
  }

  /** A producer with a batch that is not acknowledged sends nothing new: it has to retry first. */
  async #sendNew(expected: ExpectedLog, sketches: readonly SendSketch[]): Promise<void> {
    const blocked = new Set<bigint>();
    for (const fates of producersOf(expected))
      if (fates.some(({ baseOffset }) => baseOffset === undefined)) blocked.add(fates[0]!.batch.producer!.id);
    const free = sketches.filter(({ producer }) => producer === undefined || !blocked.has(BigInt(producer)));
    await this.send(
      expected,
      free.flatMap((sketch) => this.#make(expected, sketch)),
    );
  }

  #make(expected: ExpectedLog, sketch: SendSketch): SentBatch[] {
    const id = this.#nextId++;
    const producer = this.#producerOf(expected, sketch);
    const bytes = batchOf({
      values: sketch.sizes.map((size, i) => `${id}.${i}:`.padEnd(size, String.fromCharCode(97 + (id % 26)))),
      timestamp: this.process!.clock.nowMs(),
      ...(producer && { producerId: producer.id, producerEpoch: producer.epoch, baseSequence: producer.sequence }),
    });
    const batch: SentBatch = {
      topicId: expected.topicId,
      content: contentOf(bytes),
      bytes,
      records: sketch.sizes.length,
      isDoomed: (sketch.gap ?? 0) > 0 || sketch.oldEpoch === true || (sketch.expectedOffsetOff ?? 0) > 0,
      ...(producer && { producer }),
      ...(sketch.expectedOffsetOff !== undefined && {
        expectedOffset: Math.max(0, expected.acknowledgedEnd + sketch.expectedOffsetOff),
      }),
    };
    this.history.add({ kind: "sent", batch }); // so that the next of this step follows on
    return sketch.twice ? [batch, batch] : [batch];
  }

  #producerOf(expected: ExpectedLog, sketch: SendSketch): SentBatch["producer"] {
    if (sketch.key !== undefined) return { id: firstKeyId + BigInt(sketch.key), epoch: 0, sequence: 0 };
    if (sketch.producer === undefined) return undefined;
    const id = BigInt(sketch.producer);
    const last = lastOf(expected, id);
    const lastEpoch = last ? last.batch.producer!.epoch : 0;
    const epoch = lastEpoch + (sketch.newEpoch && last ? 1 : 0) - (sketch.oldEpoch ? 1 : 0);
    const isNew = !last || sketch.newEpoch;
    const next = isNew ? 0 : last.batch.producer!.sequence + last.batch.records;
    return { id, epoch: Math.max(0, epoch), sequence: next + (sketch.gap ?? 0) };
  }

  /** Sends all at once, so that those of one partition can share a write. */
  async send(expected: ExpectedLog, batches: readonly SentBatch[]): Promise<void> {
    const partition = this.process!.partitions.get(expected.topicId);
    const seen = new Set<SentBatch>();
    const answers = batches.map(async (batch) => {
      if (seen.has(batch)) this.history.add({ kind: "sent", batch });
      seen.add(batch);
      try {
        if (!partition) throw new BrokerError("KAFKA_STORAGE_ERROR", "offline");
        const copy = batch.bytes.slice();
        const { expectedOffset } = batch;
        const header = readBatchHeader(viewOf(copy), 0);
        this.#answered(
          expected,
          batch,
          await partition.append(copy, header, { expectedOffset, acks: "all", timeoutMs }),
        );
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error;
        if (error.code === "KAFKA_STORAGE_ERROR" && !this.#faulty) throw new LawBroken("L12", error.message);
        this.history.add({ kind: "refused", batch, code: error.code, maybeAppended: error.maybeAppended });
      }
    });
    await Promise.all(answers);
  }

  #answered(expected: ExpectedLog, batch: SentBatch, info: AppendInfo): void {
    const fate = expected.fates.get(batch.content)!;
    if (batch.isDoomed)
      throw new LawBroken("L7", `${expected.name}: a batch that breaks the rules got offset ${info.baseOffset}`);
    if (fate.baseOffset !== undefined && (info.baseOffset !== fate.baseOffset || !info.duplicate))
      throw new LawBroken(
        "L7",
        `${expected.name}: the batch at ${fate.baseOffset} was sent again and ${info.duplicate ? "answered as" : "appended"} at ${info.baseOffset}`,
      );
    if (info.lastOffset !== info.baseOffset + batch.records - 1)
      throw new LawBroken("L1", `${batch.records} records got offsets ${info.baseOffset} to ${info.lastOffset}`);
    this.history.add({ kind: "acknowledged", batch, info });
  }

  /** What a producer does after a restart: a batch without answer and all behind it again, in order. */
  async #retry(expected: ExpectedLog, window: number): Promise<void> {
    const batches = [...producersOf(expected)].flatMap((fates) => retriesOf(fates, window));
    const known = batches.filter((fate) => fate.baseOffset !== undefined);
    const refusedBefore = this.history.events.length;
    for (const { batch } of batches) this.history.add({ kind: "sent", batch });
    await this.send(
      expected,
      batches.map(({ batch }) => batch),
    );
    for (const event of this.history.events.slice(refusedBefore)) {
      if (event.kind !== "refused" || this.#faulty) continue;
      const was = known.some(({ batch }) => batch === event.batch) ? "known" : "next";
      throw new LawBroken(
        "L7",
        `${expected.name}: a retry of the ${was} batch of producer ${event.batch.producer?.id} is refused: ${event.code}`,
      );
    }
  }

  async #deleteRecords(expected: ExpectedLog, part: number): Promise<void> {
    const log = this.process!.find(expected);
    if (!log) return;
    const { topicId } = expected;
    const offset = log.logStartOffset + Math.floor((log.highWatermark - log.logStartOffset) * part);
    this.history.add({ kind: "startAsked", topicId, offset });
    await this.#refusable(
      log.deleteRecordsBefore(offset).then((start) => {
        if (start < offset) throw new LawBroken("L1", `removal below ${offset} answers ${start}`);
        this.history.add({ kind: "startAnswered", topicId, offset });
      }),
    );
  }

  /** A topic that becomes strict is synced before the store says so; one that is relaxed, the other way round. */
  async #configure(expected: ExpectedLog, overrides: TopicOverrides): Promise<void> {
    const log = this.process!.find(expected);
    if (!log) return;
    const { topicId } = expected;
    const config = knownPartition({ ...expected, overrides }).config;
    const becomesStrict = config.flushMessages === 1;
    const offset = log.logEndOffset;
    if (!becomesStrict) this.history.add({ kind: "configured", topicId, overrides });
    const changed = await this.#refusable(log.changeConfig(config).then(() => true));
    if (!becomesStrict || !changed) return;
    this.history.add({ kind: "configured", topicId, overrides });
    this.history.add({ kind: "flushed", topicId, offset });
  }

  /** undefined when a fault, which the test planned, made the broker refuse. */
  async #refusable<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof LawBroken || !this.#faulty) throw error;
      return undefined;
    }
  }
}

const turnsMax = 50;
