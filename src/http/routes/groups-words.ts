// What the routes of consumer groups answer, for the OpenAPI document.

import type { ErrorCode } from "../../protocol/error-codes.ts";
import type { Schema } from "../json-schema.ts";
import { type Answer, objectContent } from "../route.ts";

export const answerOf = (description: string, schema: Schema): Answer => ({
  description,
  content: objectContent(schema),
});

/** The schema of an object whose one list has items of a named shape. */
export const listOf = (field: string, shape: string, more: Readonly<Record<string, Schema>> = {}): Schema => ({
  type: "object",
  required: [field],
  properties: { [field]: { type: "array", items: { $ref: `#/components/schemas/${shape}` } }, ...more },
  additionalProperties: false,
});

/** Of every call that goes to a group's coordinator. */
export const coordinatorProblems: readonly ErrorCode[] = [
  "COORDINATOR_NOT_AVAILABLE",
  "BROKER_SHUTTING_DOWN",
  "KAFKA_STORAGE_ERROR",
];
/** Of those that write: 503 is surely not done, 504 done or not. All of them may be repeated. */
export const writeProblems: readonly ErrorCode[] = [...coordinatorProblems, "REQUEST_TIMED_OUT"];

export const pollDescription =
  "A member's whole life is this one call: it joins with topics and without memberEpoch, under an id of the client's choice (a UUID for each process, or a fixed name for a slot that one process fills at a time), and every later poll sends the memberEpoch of the last answer. " +
  "The answer has the whole assignment, records of it, and positions: handle the records, then send those positions as commit with the next poll, and every record is handled at least once, whoever dies in between. " +
  "Poll again within the session timeout, or beside a long handling with maxRecords 0 every heartbeatIntervalMs, else the member is removed and its partitions go to others. " +
  "A partition that left the assignment is given up by the next poll unless owned still names it, and a commit for one that others have by now is listed in notCommitted. " +
  "After 409 FENCED_MEMBER_EPOCH or UNKNOWN_MEMBER_ID nothing of the call happened: drop what you hold and poll again without memberEpoch; any other answer that was lost is asked for again with the same call, and a member that is done leaves with DELETE.";
