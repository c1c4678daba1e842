// The clients of a load: each sends one thing after the other and writes down what it learns. Whether the broker lives,
// stops or dies meanwhile is not theirs to know: they see answers and the lack of them.

import { assert } from "../../src/assert.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import type { History, Place } from "../history/history.ts";
import type { SimulatedRandom } from "../simulation/simulated-random.ts";
import type { BrokerAddress } from "./broker-address.ts";
import { type Answer, type HttpClient, jsonOf, type RequestOptions } from "./http-client.ts";

export interface SenderContext {
  readonly client: HttpClient;
  readonly address: BrokerAddress;
  readonly history: History;
  readonly random: SimulatedRandom;
  readonly topic: string;
  readonly partitionCount: number;
  /** Told of every value that is acknowledged. */
  acknowledged(values: number): void;
}

/** One HTTP request, but for where the broker is. */
interface ProduceCall extends RequestOptions {
  readonly path: string;
}

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly retriable: boolean;
  readonly retryAfterMs?: number;
  readonly maybeAppended?: boolean;
  readonly offsets?: unknown;
}

type Attempt =
  | { readonly kind: "ok"; readonly answer: Answer }
  | { readonly kind: "fail"; readonly problem: Problem }
  | { readonly kind: "info"; readonly reason: string };

const batchRecordsMax = 8;
const valuePaddingMax = 400;
/** So many attempts of one send mean that the broker is not coming back. */
const attemptsMax = 1_000;
/** A client that is asked to wait waits, but not longer than a test can afford. */
const retryMsMax = 50;

export abstract class Sender {
  readonly process: string;
  protected readonly context: SenderContext;
  #values = 0;

  constructor(process: string, context: SenderContext) {
    this.process = process;
    this.context = context;
  }

  /** One send, until it is settled; false if there is no broker any more. */
  abstract sendOne(): Promise<boolean>;

  protected newValues(count = 1 + this.context.random.integer(batchRecordsMax)): string[] {
    return Array.from({ length: count }, () => {
      this.#values += 1;
      return `${this.process}.${this.#values} ${"·".repeat(this.context.random.integer(valuePaddingMax))}`;
    });
  }

  /** Repeats the call until it is done or refused for good; a call that repeats must be safe to repeat. */
  protected async settle(
    values: readonly string[],
    options: { readonly idempotent: boolean; readonly refusal?: "expected" },
    call: ProduceCall,
    placed: (answer: Answer) => readonly Place[],
  ): Promise<boolean> {
    const { history, address } = this.context;
    const send = { f: "send", process: this.process, operation: history.newOperation() } as const;
    let lastReason = "";
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const url = await address.current();
      if (url === undefined) return false;
      history.add({ ...send, type: "invoke", idempotent: options.idempotent, values });
      const outcome = await this.#attempt(url, call);
      if (outcome.kind === "ok") {
        history.add({ ...send, type: "ok", placed: placed(outcome.answer) });
        this.context.acknowledged(values.length);
        return true;
      }
      if (outcome.kind === "info") {
        lastReason = outcome.reason;
        history.add({ ...send, type: "info", reason: lastReason });
        // A connection that is refused at once leaves no turn to anybody else.
        await new Promise(setImmediate);
        if (!options.idempotent) return true;
        continue;
      }
      const { problem } = outcome;
      lastReason = `${problem.code}: ${problem.detail}`;
      history.add({ ...send, type: "fail", reason: problem.code });
      if (options.refusal === "expected") return true;
      if (!problem.retriable) throw new Error(`${this.process} was refused: ${lastReason}`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(problem.retryAfterMs ?? 0, retryMsMax)));
    }
    throw new Error(`${this.process} got no answer in ${attemptsMax} attempts; the last: ${lastReason}`);
  }

  async #attempt(url: string, { path, ...options }: ProduceCall): Promise<Attempt> {
    let answer: Answer;
    try {
      answer = await this.context.client.send("POST", `${url}/v1/topics/${this.context.topic}${path}`, options);
    } catch (error) {
      return { kind: "info", reason: (error as NodeJS.ErrnoException).code ?? String(error) };
    }
    if (answer.status === 200) return { kind: "ok", answer };
    const problem = jsonOf<Problem>(answer);
    assert(answer.status !== 500, `the broker met a bug: ${problem.detail}`);
    assert(problem.maybeAppended !== undefined, `a problem of a produce says maybeAppended: ${answer.body}`);
    // Some of its partitions may hold their part.
    const isDefinite = !problem.maybeAppended && problem.offsets === undefined;
    return isDefinite ? { kind: "fail", problem } : { kind: "info", reason: problem.code };
  }
}

const asJson = { "content-type": "application/json" } as const;
const asBatch = { "content-type": "application/vnd.kafka.record-batch" } as const;
const asBytes = { "content-type": "application/octet-stream" } as const;

/** From the answer of a produce to one partition. */
function placedInOne(answer: Answer): Place[] {
  const { partition, baseOffset, lastOffset } = jsonOf<{ partition: number; baseOffset: number; lastOffset: number }>(
    answer,
  );
  return Array.from({ length: lastOffset - baseOffset + 1 }, (_, index) => ({ partition, offset: baseOffset + index }));
}

/** One partition of an idempotent producer: on doubt it sends the same sequence again, by either format. */
export class IdempotentSender extends Sender {
  readonly partition: number;
  readonly producerId: number;
  nextSequence = 0;

  constructor(process: string, context: SenderContext, producerId: number, partition: number) {
    super(process, context);
    this.producerId = producerId;
    this.partition = partition;
  }

  async sendOne(): Promise<boolean> {
    const values = this.newValues();
    const call = this.context.random.fraction() < 0.5 ? this.#json(values) : this.#batch(values);
    const path = `/partitions/${this.partition}/records`;
    const settled = await this.settle(values, { idempotent: true }, { path, ...call }, placedInOne);
    if (settled) this.nextSequence += values.length;
    return settled;
  }

  #json(values: readonly string[]): RequestOptions {
    const producer = { producerId: this.producerId, producerEpoch: 0, baseSequence: this.nextSequence };
    const records = values.map((value) => ({ value }));
    return { headers: asJson, body: JSON.stringify({ records, valueFormat: "string", ...producer }) };
  }

  #batch(values: readonly string[]): RequestOptions {
    const timestamp = Date.now();
    const body = encodeRecordBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value), headers: [], timestamp })),
      { producerId: BigInt(this.producerId), producerEpoch: 0, baseSequence: this.nextSequence, codecs: nodeCodecs },
    );
    return { headers: asBatch, body };
  }
}

/** Sends records to several partitions at once under an Idempotency-Key. */
export class KeyedSender extends Sender {
  #requests = 0;

  async sendOne(): Promise<boolean> {
    const values = this.newValues();
    this.#requests += 1;
    const headers = { ...asJson, "idempotency-key": `${this.process}:${this.#requests}` };
    const records = values.map((value, index) => ({ key: `${this.#requests % 7}-${index}`, value }));
    const body = JSON.stringify({ records, valueFormat: "string" });
    return await this.settle(
      values,
      { idempotent: true },
      { path: "/records", headers, body },
      (answer) => jsonOf<{ offsets: Place[] }>(answer).offsets,
    );
  }
}

/** Nothing to recognise a repeat by, so it never repeats. */
export class PlainSender extends Sender {
  async sendOne(): Promise<boolean> {
    const partition = this.context.random.integer(this.context.partitionCount);
    const path = `/partitions/${partition}/records`;
    const [value = ""] = this.newValues(1);
    return await this.settle([value], { idempotent: false }, { path, headers: asBytes, body: value }, placedInOne);
  }
}

/** Sends what must be refused: none of its values may ever be read. */
export class RefusedSender extends Sender {
  async sendOne(): Promise<boolean> {
    const { random, partitionCount } = this.context;
    const values = this.newValues();
    const records = values.map((value) => ({ value }));
    const wrongs: readonly object[] = [
      { records, valueFormat: "string", expectedOffset: Number.MAX_SAFE_INTEGER },
      { records, valueFormat: "string", producerId: 2 ** 40, producerEpoch: 0, baseSequence: -7 },
      { records: [...records, { value: "x", partition: "y" }], valueFormat: "string" },
    ];
    const path = `/partitions/${random.integer(partitionCount)}/records`;
    const body = JSON.stringify(wrongs[random.integer(wrongs.length)]);
    const never = (answer: Answer): never => {
      throw new Error(`what must be refused was taken: ${body.slice(0, 200)} → ${answer.body}`);
    };
    return await this.settle(
      values,
      { idempotent: false, refusal: "expected" },
      { path, headers: asJson, body },
      never,
    );
  }
}
