// What the body of a poll may say, and the broker's call it stands for.

import type { GroupOffsetReset, PollCall } from "../broker/group-calls.ts";
import type { Settings } from "../config.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { invalidField } from "./formats/body-refusal.ts";
import type { PartFormat } from "./formats/produce-options.ts";
import { checkCount, checkName, checkTopicNames, memberToUse, nameRule } from "./group-names.ts";
import { ownedSchema, positionHints, positionsSchema, readOwned, readPositions } from "./group-positions.ts";
import type { Schema } from "./json-schema.ts";
import {
  maxTopicsPerMember,
  nameCharactersMax,
  pageBytesDefault,
  pageRecordsDefault,
  rebalanceTimeoutMsMax,
  rebalanceTimeoutMsMin,
  sessionTimeoutMsMax,
  sessionTimeoutMsMin,
} from "./limits.ts";
import { mediaTypes } from "./media-type.ts";
import { goneSignal } from "./page-answer.ts";
import type { Exchange } from "./route.ts";
import { formatSchema, wholeNumberFrom } from "./schemas.ts";

export function pollSchema({ groupSessionTimeoutMs, maxPageBytes, maxWaitMs }: Settings): Schema {
  return {
    type: "object",
    properties: {
      topics: {
        type: "array",
        items: { type: "string", maxLength: nameCharactersMax },
        description: `Needed to join; later they change the subscription. At most ${maxTopicsPerMember}; they may be still to come.`,
      },
      memberEpoch: {
        ...wholeNumberFrom(0),
        description: "Of the last answer. Without it the call joins, or takes the id over.",
      },
      commit: { ...positionsSchema, description: "What is handled: the records below are not delivered again." },
      positions: { ...positionsSchema, description: "Where to read on, ahead of what is handled." },
      owned: { ...ownedSchema, description: "Partitions that left the assignment and are not let go of yet." },
      instanceId: { type: "string", description: `Keeps the assignment over a restart. ${nameRule}.` },
      sessionTimeoutMs: {
        type: "integer",
        minimum: sessionTimeoutMsMin,
        maximum: sessionTimeoutMsMax,
        default: groupSessionTimeoutMs,
        description: "A member that is silent for so long is removed.",
      },
      rebalanceTimeoutMs: {
        type: "integer",
        minimum: rebalanceTimeoutMsMin,
        maximum: rebalanceTimeoutMsMax,
        default: 300_000,
        description: "A member that does not let go of partitions for so long is removed.",
      },
      assignor: {
        type: "string",
        maxLength: nameCharactersMax,
        description: "uniform or range; the group uses what most members ask for.",
      },
      offsetReset: {
        type: "string",
        enum: ["earliest", "latest", "error"],
        default: "earliest",
        description: "Where a partition without a place to go on from begins.",
      },
      maxRecords: {
        ...wholeNumberFrom(0),
        default: pageRecordsDefault,
        description: "0: a heartbeat, answered at once.",
      },
      maxBytes: {
        ...wholeNumberFrom(1),
        default: pageBytesDefault,
        description: `Of the records (at most ${maxPageBytes}); the first comes even if it is larger.`,
      },
      waitMs: {
        ...wholeNumberFrom(0),
        default: 0,
        description: `How long to wait for an assignment and for records; above ${maxWaitMs} it is lowered to that.`,
      },
      keyFormat: { ...formatSchema, default: "string", description: "How JSON shows keys." },
      valueFormat: { ...formatSchema, default: "json", description: "How JSON shows values." },
    },
    additionalProperties: false,
  };
}

/** As the schema has let it through. */
interface PollBody {
  readonly topics?: readonly string[];
  readonly memberEpoch?: number;
  readonly commit?: unknown;
  readonly positions?: unknown;
  readonly owned?: unknown;
  readonly instanceId?: string;
  readonly sessionTimeoutMs?: number;
  readonly rebalanceTimeoutMs?: number;
  readonly assignor?: string;
  readonly offsetReset?: GroupOffsetReset;
  readonly maxRecords?: number;
  readonly maxBytes?: number;
  readonly waitMs?: number;
  readonly keyFormat?: PartFormat;
  readonly valueFormat?: PartFormat;
}

export interface PollPlan {
  readonly call: PollCall;
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly keyFormat: PartFormat;
  readonly valueFormat: PartFormat;
}

export async function readPoll(exchange: Exchange, schema: Schema): Promise<PollPlan> {
  const names = memberToUse(exchange);
  const body = (await exchange.readObject(schema, true, positionHints)) as PollBody;
  checkBody(exchange, body);
  const { memberEpoch, topics, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignor } = body;
  const { maxRecords = pageRecordsDefault, maxBytes = pageBytesDefault } = body;
  const forRecords = maxRecords > 0;
  const waitMs = forRecords ? Math.min(body.waitMs ?? 0, exchange.http.settings.maxWaitMs) : 0;
  const call: PollCall = {
    ...names,
    memberEpoch,
    topics,
    instanceId,
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    assignor,
    commit: readPositions("commit", body.commit),
    positions: readPositions("positions", body.positions),
    owned: readOwned(body.owned),
    offsetReset: body.offsetReset ?? "earliest",
    forRecords,
    maxBytes,
    waitMs,
    signal: waitMs > 0 ? goneSignal(exchange) : undefined,
  };
  const { keyFormat = "string", valueFormat = "json" } = body;
  return { call, maxRecords, maxBytes, keyFormat, valueFormat };
}

function checkBody({ http, mediaType }: Exchange, body: PollBody): void {
  const { topics, instanceId, maxBytes, memberEpoch } = body;
  if (topics !== undefined) {
    if (topics.length === 0) throw invalidField("topics", "must name a topic", "a member that is done leaves: DELETE");
    checkCount("topics", topics.length, "maxTopicsPerMember", maxTopicsPerMember);
    checkTopicNames("topics", topics);
  } else if (memberEpoch === undefined) {
    const hint = "a poll without memberEpoch joins the group; later polls send the memberEpoch of the last answer";
    throw invalidField("topics", "is missing", hint);
  }
  if (instanceId !== undefined) checkName("instanceId", instanceId);
  const { maxPageBytes } = http.settings;
  if (maxBytes !== undefined && maxBytes > maxPageBytes) {
    throw new BrokerError("INVALID_REQUEST", `maxBytes of a poll may be ${maxPageBytes}`, {
      fields: { path: "maxBytes", limit: { name: "maxPageBytes", value: maxPageBytes } },
    });
  }
  if (mediaType !== mediaTypes.msgpack) return;
  const misplaced = (["keyFormat", "valueFormat"] as const).filter((name) => body[name] !== undefined);
  if (misplaced.length === 0) return;
  throw new BrokerError("INVALID_REQUEST", `${misplaced[0]} means nothing for an answer in msgpack`, {
    fields: { unknown: misplaced, path: misplaced[0] },
  });
}
