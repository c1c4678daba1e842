// How a member of a group reaches it: by polls, or by a WebSocket with polls behind it.

import type { FeedParts } from "./feed.ts";
import { GroupConnection } from "./group-connection.ts";
import type { GroupLink } from "./group-link.ts";
import { GroupPoll } from "./group-poll.ts";
import { type GroupSource, sessionTimeoutMsDefault } from "./group-source.ts";
import type { Sockets } from "./sockets.ts";

const windowBytesMax = 32 * 1024 * 1024;
/** A socket on which an answer takes longer is left for another. */
const socketAnswerMs = 10_000;

/** Subscriptions do not carry every setting of a member: with the others it is polls. */
export function linkOf(
  { group, topics, instanceId, sessionTimeoutMs, offsetReset, assignor, rebalanceTimeoutMs }: GroupSource,
  memberId: string,
  { http, inbox }: FeedParts,
  sockets: Sockets | undefined,
  onNews: () => void,
): GroupLink {
  const poll = new GroupPoll(http, group, memberId);
  if (sockets === undefined || assignor !== undefined || rebalanceTimeoutMs !== undefined) return poll;
  const sessionMs = sessionTimeoutMs ?? sessionTimeoutMsDefault;
  return new GroupConnection({
    poll,
    sockets,
    sessionTimeoutMs: sessionMs,
    socketOptions: {
      group,
      memberId,
      topics,
      ...(instanceId === undefined ? {} : { instanceId }),
      ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      ...(offsetReset === undefined ? {} : { offsetReset }),
      windowBytes: Math.min(inbox.bytesMax, windowBytesMax),
      clock: http.clock,
      timeoutMs: Math.min(http.requestTimeoutMs, socketAnswerMs, Math.ceil(sessionMs / 3)),
      onNews,
    },
  });
}
