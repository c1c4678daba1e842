// The members of one group and what befalls them, one who watches its committed offsets, and the group's history. Waits are for
// what the group or its members show, never for time to pass.

import { GroupHistory } from "../history/group-history.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import type { BrokerAddress } from "./broker-address.ts";
import { GroupMember, type MemberContext } from "./group-member.ts";
import { type Answer, expectStatus, HttpClient, jsonOf } from "./http-client.ts";

export interface GroupRunOptions {
  readonly address: BrokerAddress;
  readonly seed: number;
  readonly topic: string;
  readonly groupId: string;
  readonly memberCount: number;
}

interface Offsets {
  readonly positions: readonly {
    readonly partition: number;
    readonly nextOffset: number | null;
    readonly lag: number;
  }[];
}

const connectionsMax = 32;
/** Long enough for a busy machine, short enough that a test can wait for deaths to be noticed. */
const sessionTimeoutMs = 3_000;
/** How often the offsets, and what a wait is for, are looked at. */
const lookMs = 25;
const handledBetween = 100;

export class GroupRun {
  readonly history = new GroupHistory();
  readonly #options: GroupRunOptions;
  readonly #client = new HttpClient(connectionsMax);
  readonly #random: SimulatedRandom;
  readonly #members: GroupMember[] = [];
  readonly #watching: Promise<void>;
  readonly #failure = new AbortController();
  readonly #disturbed = new Set<number>();
  #disturbances = 0;
  #lives = 0;
  #handled = 0;
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  readonly #lookers: { readonly isEnough: (offsets: Offsets) => boolean; readonly resolve: () => void }[] = [];
  #over = false;

  constructor(options: GroupRunOptions) {
    this.#options = options;
    this.#random = new SimulatedRandom(options.seed);
    for (let slot = 0; slot < options.memberCount; slot++) this.#start(slot);
    this.#watching = this.#watch();
    this.#watching.catch((error) => this.#failure.abort(error));
  }

  /** Rejects as soon as a member, or who watches, meets what it must not meet. */
  get failed(): Promise<never> {
    const { signal } = this.#failure;
    const failed = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    failed.catch(() => {});
    return failed;
  }

  /** Resolves when so many more records were handled. */
  waitForHandled(count: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ count: this.#handled + count, resolve }));
  }

  /** Looks at the committed offsets of a broker that nobody else has found yet: what was forgotten is not committed again by then. */
  async lookFirst(url: string): Promise<void> {
    const by = "first";
    this.history.add({ f: "offsetsAsked", by });
    this.#see(by, await this.#client.get(`${url}/v1/groups/${this.#options.groupId}/offsets`));
  }

  /** Lets something befall one of the members that are left alone so far, another thing each time. */
  async disturb(): Promise<void> {
    const slot = this.#random.pick([...this.#members.keys()].filter((quiet) => !this.#disturbed.has(quiet)));
    this.#disturbed.add(slot);
    await this.#befall(slot, this.#disturbances++ % 4);
    this.#disturbed.delete(slot);
  }

  async #befall(slot: number, what: number): Promise<void> {
    const member = this.#members[slot]!;
    switch (what) {
      case 0: // dies, and is noticed before it comes back
        await member.die();
        await this.#removed(member);
        await this.waitForHandled(handledBetween);
        this.#start(slot);
        break;
      case 1: // leaves for a while
        await member.leave();
        await this.waitForHandled(handledBetween);
        this.#start(slot);
        break;
      case 2: {
        // comes back without knowing that it was given up
        const goOn = await member.hang();
        await this.#removed(member);
        goOn();
        break;
      }
      default: // is there again before anybody noticed
        await member.die();
        this.#start(slot);
        break;
    }
    await this.waitForHandled(handledBetween);
  }

  /** Resolves when everything is handled and committed, and all have left with the offsets unmoved. */
  async settle(): Promise<void> {
    const isDone = ({ positions }: Offsets): boolean => {
      return positions.length > 0 && positions.every(({ lag, nextOffset }) => lag === 0 && nextOffset !== null);
    };
    await this.#offsetsAre(isDone);
    await Promise.all(this.#members.map((member) => member.leave()));
    await this.#offsetsAre(isDone);
    this.#over = true;
    await this.#watching;
  }

  async close(): Promise<void> {
    this.#over = true;
    this.#options.address.close();
    await Promise.allSettled(this.#members.map((member) => member.die()));
    await this.#watching.catch(() => {}); // told by `failed`
    await this.#client.close();
  }

  #start(slot: number): void {
    const { address, topic, groupId } = this.#options;
    const context: MemberContext = {
      client: this.#client,
      address,
      history: this.history,
      random: this.#random.fork(),
      groupId,
      topic,
      sessionTimeoutMs,
      handled: () => this.#countHandled(),
    };
    const member = new GroupMember(context, `member-${slot}`, ++this.#lives);
    member.running.catch((error) => this.#failure.abort(error));
    this.#members[slot] = member;
  }

  #countHandled(): void {
    this.#handled += 1;
    const isReached = ({ count }: { readonly count: number }) => count <= this.#handled;
    const reached = this.#waiting.filter(isReached);
    if (reached.length === 0) return;
    this.#waiting = this.#waiting.filter((wait) => !isReached(wait));
    for (const { resolve } of reached) resolve();
  }

  /** Looks at the committed offsets all the time, and tells who waits for what it sees. */
  async #watch(): Promise<void> {
    const by = "watcher";
    while (!this.#over) {
      this.history.add({ f: "offsetsAsked", by });
      const answer = await this.#get("/offsets");
      if (answer === undefined) return;
      if (answer.status !== 404) this.#tellLookers(this.#see(by, answer));
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  #see(by: string, answer: Answer): Offsets {
    const offsets = expectStatus<Offsets>(answer, 200);
    const positions = offsets.positions.flatMap(({ partition, nextOffset }) =>
      nextOffset === null ? [] : [{ partition, nextOffset }],
    );
    this.history.add({ f: "offsetsSeen", by, positions });
    return offsets;
  }

  #tellLookers(offsets: Offsets): void {
    for (const { isEnough, resolve } of this.#lookers.splice(0)) {
      if (isEnough(offsets)) resolve();
      else this.#lookers.push({ isEnough, resolve });
    }
  }

  /** Resolves when the committed offsets, looked at from now on, are as wished. */
  #offsetsAre(isEnough: (offsets: Offsets) => boolean): Promise<void> {
    return new Promise((resolve) => this.#lookers.push({ isEnough, resolve }));
  }

  /** Resolves when the group does not know the member any more. */
  async #removed({ memberId }: GroupMember): Promise<void> {
    for (;;) {
      const answer = await this.#get("");
      if (answer === undefined) return;
      const { members } = expectStatus<{ members: readonly { readonly memberId: string }[] }>(answer, 200);
      if (members.every((known) => known.memberId !== memberId)) return;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  /** Something about the group, asked for until there is an answer; undefined once there is no broker any more. */
  async #get(path: string): Promise<Answer | undefined> {
    for (;;) {
      const url = await this.#options.address.current();
      if (url === undefined) return undefined;
      try {
        const answer = await this.#client.get(`${url}/v1/groups/${this.#options.groupId}${path}`);
        if (answer.status < 429 || !jsonOf<{ readonly retriable: boolean }>(answer).retriable) return answer;
      } catch {
        // The broker was killed meanwhile.
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }
}
