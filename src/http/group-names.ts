// The names of groups, members and instances: those of topics. What has another name cannot be made, so it does not exist either.

import { BrokerError } from "../protocol/error-codes.ts";
import { isLegalTopicName } from "../protocol/topic-partition.ts";
import { invalidField } from "./formats/body-refusal.ts";
import type { Exchange } from "./route.ts";

export const nameRule = "1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not . or ..";

/** The group of a call that may make it. */
export function groupToUse(exchange: Exchange): string {
  const groupId = exchange.parameter("group");
  if (!isLegalTopicName(groupId)) throw illegalName("a group's id");
  return groupId;
}

/** The member of a call that may make it, and its group. */
export function memberToUse(exchange: Exchange): { groupId: string; memberId: string } {
  const groupId = groupToUse(exchange);
  const memberId = exchange.parameter("member");
  if (!isLegalTopicName(memberId)) throw illegalName("a member's id");
  return { groupId, memberId };
}

/** The group of a call that does not make it. */
export function groupToFind(exchange: Exchange): string {
  const groupId = exchange.parameter("group");
  if (isLegalTopicName(groupId)) return groupId;
  throw new BrokerError("GROUP_ID_NOT_FOUND", `there is no such group: an id is ${nameRule}`);
}

/** The member of a call that does not make it. */
export function memberToFind(exchange: Exchange): { groupId: string; memberId: string } {
  const groupId = groupToFind(exchange);
  const memberId = exchange.parameter("member");
  if (isLegalTopicName(memberId)) return { groupId, memberId };
  throw new BrokerError("UNKNOWN_MEMBER_ID", `the group has no such member: an id is ${nameRule}`);
}

function illegalName(what: string): BrokerError {
  return new BrokerError("INVALID_REQUEST", `${what} must be ${nameRule}`);
}

export function checkName(path: string, name: string): void {
  if (!isLegalTopicName(name)) throw invalidField(path, `must be ${nameRule}`);
}

/** A topic that a body names: it may be still to come, if it can. */
export function checkTopicName(path: string, name: string): void {
  if (isLegalTopicName(name)) return;
  throw new BrokerError("INVALID_TOPIC_EXCEPTION", `${path} is no name of a topic: it must be ${nameRule}`, {
    fields: { path },
  });
}

export function checkTopicNames(path: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const [index, name] of names.entries()) {
    checkTopicName(`${path}[${index}]`, name);
    if (seen.has(name)) throw invalidField(`${path}[${index}]`, `names the topic ${name} twice`);
    seen.add(name);
  }
}

/** A list that is longer than one call may bring. */
export function checkCount(path: string, count: number, limit: string, max: number): void {
  if (count <= max) return;
  throw new BrokerError("INVALID_REQUEST", `${path} may have ${max} entries in one call`, {
    fields: { path, limit: { name: limit, value: max } },
  });
}
