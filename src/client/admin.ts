// Topics, groups and the cluster, one call each. What the fields mean stands in docs/http-api.md.

import type {
  ClusterDescription,
  CreateTopic,
  GroupDescription,
  GroupOffset,
  GroupSummary,
  ListQuery,
  Position,
  ResetOffsets,
  ResetPosition,
  ResolvedOffset,
  TopicConfig,
  TopicDescription,
  TopicSummary,
} from "./admin-answers.ts";
import type { HttpCall, HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";

/** Every call takes a signal that calls it off. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Made by `millrace.admin()`. Calls are repeated until the client's requestTimeoutMs has passed; all of them may be. */
export class Admin {
  readonly #http: HttpTransport;

  /** @internal */
  constructor(http: HttpTransport) {
    this.#http = http;
  }

  /** Makes a topic; one that exists and does not differ from what is asked is fine. */
  async createTopic(topic: CreateTopic, options: CallOptions = {}): Promise<TopicDescription> {
    return (await this.#call("POST", "/v1/topics", options, { body: topic })) as TopicDescription;
  }

  /** Sorted by name. With `limit` the answer may have `next`, to be given as `after`. */
  async listTopics(
    query: ListQuery & { readonly internal?: boolean } = {},
    options: CallOptions = {},
  ): Promise<{ readonly topics: readonly TopicSummary[]; readonly next?: string }> {
    return (await this.#call("GET", "/v1/topics", options, { query: { ...query } })) as {
      readonly topics: readonly TopicSummary[];
    };
  }

  /** One topic: its configs and its partitions. */
  async describeTopic(topic: string, options: CallOptions = {}): Promise<TopicDescription> {
    return (await this.#call("GET", `/v1/topics/${segment(topic)}`, options)) as TopicDescription;
  }

  /** More partitions, or configs; a config of null gets its default back. */
  async alterTopic(
    topic: string,
    change: { readonly partitionCount?: number; readonly config?: TopicConfig<null> },
    options: CallOptions = {},
  ): Promise<TopicDescription> {
    return (await this.#call("PATCH", `/v1/topics/${segment(topic)}`, options, { body: change })) as TopicDescription;
  }

  /** The records go too, and the name is free at once. */
  async deleteTopic(topic: string, options: CallOptions = {}): Promise<void> {
    await this.#remove(`/v1/topics/${segment(topic)}`, options);
  }

  /** Where a place (`earliest`, `latest`, `-10`, `@2026-11-21T10:00:00Z`, …) is in every partition. */
  async offsets(topic: string, at = "latest", options: CallOptions = {}): Promise<readonly ResolvedOffset[]> {
    const answer = await this.#call("GET", `/v1/topics/${segment(topic)}/offsets`, options, { query: { at } });
    return (answer as { readonly offsets: readonly ResolvedOffset[] }).offsets;
  }

  /** Deletes the records below an offset, or all that can be read now. Returns where the partition begins. */
  async deleteRecords(
    topic: string,
    partition: number,
    before: number | "latest",
    options: CallOptions = {},
  ): Promise<number> {
    const path = `/v1/topics/${segment(topic)}/partitions/${partition}/records`;
    const answer = await this.#call("DELETE", path, options, { query: { before } });
    return (answer as { readonly logStartOffset: number }).logStartOffset;
  }

  /** Sorted by name; `lag: true` adds how far each is behind. */
  async listGroups(
    query: ListQuery & { readonly lag?: boolean } = {},
    options: CallOptions = {},
  ): Promise<{ readonly groups: readonly GroupSummary[]; readonly next?: string }> {
    return (await this.#call("GET", "/v1/groups", options, { query: { ...query } })) as {
      readonly groups: readonly GroupSummary[];
    };
  }

  /** One group: its members and what each has. */
  async describeGroup(group: string, options: CallOptions = {}): Promise<GroupDescription> {
    return (await this.#call("GET", `/v1/groups/${segment(group)}`, options)) as GroupDescription;
  }

  /** Every partition that is committed or assigned, with its lag. */
  async groupOffsets(group: string, options: CallOptions = {}): Promise<readonly GroupOffset[]> {
    const answer = await this.#call("GET", `/v1/groups/${segment(group)}/offsets`, options);
    return (answer as { readonly positions: readonly GroupOffset[] }).positions;
  }

  /** Commits for a group that has no members; all positions or none. */
  async commitOffsets(group: string, positions: readonly Position[], options: CallOptions = {}): Promise<void> {
    await this.#call("POST", `/v1/groups/${segment(group)}/offsets`, options, { body: { positions } });
  }

  /** Moves a group that has no members. With `dryRun` it only tells what would happen. */
  async resetOffsets(group: string, reset: ResetOffsets, options: CallOptions = {}): Promise<readonly ResetPosition[]> {
    const answer = await this.#call("POST", `/v1/groups/${segment(group)}/offsets/reset`, options, { body: reset });
    return (answer as { readonly positions: readonly ResetPosition[] }).positions;
  }

  /** Only when no member is left. */
  async deleteGroup(group: string, options: CallOptions = {}): Promise<void> {
    await this.#remove(`/v1/groups/${segment(group)}`, options);
  }

  /** What the member had goes to the others. */
  async removeMember(group: string, memberId: string, options: CallOptions = {}): Promise<void> {
    await this.#remove(`/v1/groups/${segment(group)}/members/${segment(memberId)}`, options);
  }

  /** Brokers, features and limits. */
  async cluster(options: CallOptions = {}): Promise<ClusterDescription> {
    return (await this.#call("GET", "/v1/cluster", options)) as ClusterDescription;
  }

  /** A repeat that finds nothing left has done its work, if an earlier attempt may have done it. */
  async #remove(path: string, options: CallOptions): Promise<void> {
    let inDoubt = false;
    const onRetry = ({ error }: { readonly error: MillraceError }): void => {
      inDoubt ||= error.maybeAppended;
    };
    try {
      await this.#http.call({ method: "DELETE", path, signal: options.signal, onRetry });
    } catch (error) {
      if (!(inDoubt && error instanceof MillraceError && error.status === 404)) throw error;
    }
  }

  #call(
    method: HttpCall["method"],
    path: string,
    { signal }: CallOptions,
    rest: Pick<HttpCall, "query" | "body"> = {},
  ): Promise<unknown> {
    return this.#http.call({ method, path, signal, ...rest });
  }
}

const segment = (name: string): string => encodeURIComponent(name);
