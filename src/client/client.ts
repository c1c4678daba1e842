// `millrace/client`: all that users import, for browsers and any runtime with fetch. Node has client-node.ts, which adds
// what Node 20 lacks.

export { Admin, type CallOptions } from "./admin.ts";
export type {
  ClusterDescription,
  CreateTopic,
  GroupDescription,
  GroupOffset,
  GroupSummary,
  ListQuery,
  PartitionDescription,
  Position,
  ResetOffsets,
  ResetPosition,
  ResolvedOffset,
  TopicConfig,
  TopicDescription,
  TopicPartitions,
  TopicSummary,
} from "./admin-answers.ts";
export {
  bytes,
  type Codec,
  json,
  msgpack,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
  string,
  validated,
} from "./codec.ts";
export { type ConsumedHeader, ConsumedRecord } from "./consumed-record.ts";
export { Consumer } from "./consumer.ts";
export type { ConsumerEvents } from "./consumer-events.ts";
export type {
  Batch,
  ConsumerBehaviour,
  ConsumerOptions,
  EachBatchOptions,
  EachRecordOptions,
  HandlerContext,
} from "./consumer-options.ts";
export type { DeadLetterOptions } from "./dead-letter.ts";
export type { GroupSource } from "./group-source.ts";
export type { Fetch, FetchInit } from "./http-transport.ts";
export { Millrace, type MillraceOptions } from "./millrace.ts";
export {
  type ClientErrorCode,
  clientErrorCodes,
  MillraceError,
  type MillraceErrorOptions,
  type Problem,
} from "./millrace-error.ts";
export type { ClientClock, ClientRandom, ClientTimer } from "./platform.ts";
export type { HeadersToSend, RecordToSend, SentRecord } from "./produced-record.ts";
export { Producer, type ProducerOptions } from "./producer.ts";
export type { RetryNews, RetryOptions } from "./retry.ts";
export type { TopicSource } from "./topic-feed.ts";
export type { OpenWebSocket, WebSocketLike } from "./web-socket.ts";
