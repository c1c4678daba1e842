// From what the server says to the bytes of a frame, in one of the two subprotocols. A delivery is a head of the subscriber's own and
// records that are encoded once for all who are at the same place: only the head is written here.

import { Buffer } from "node:buffer";
import { assert } from "../../assert.ts";
import { ByteWriter } from "../formats/byte-writer.ts";
import { encodeMsgpack, MsgpackWriter } from "../formats/msgpack-writer.ts";
import type { FrameId } from "./client-frames.ts";
import type { Encoding } from "./frame-parser.ts";
import type { ServerFrame } from "./server-frames.ts";

export interface DeliveryHead {
  readonly id: FrameId;
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly leaderEpoch: number;
}

export interface FrameWriter {
  readonly encoding: Encoding;
  /** Fields that are undefined are left out. */
  frame(frame: ServerFrame): Buffer;
  /** All of a records frame before its records, of which `count` follow, and their end. */
  recordsHead(head: DeliveryHead, count: number): Buffer;
  /** All of a batches frame before the batches. */
  batchesHead(head: DeliveryHead, sizeBytes: number): Buffer;
}

export const jsonFrames: FrameWriter = {
  encoding: "json",
  frame: (frame) => Buffer.from(JSON.stringify(frame)),
  recordsHead: ({ id, topic, partition, nextOffset, highWatermark, leaderEpoch }) => {
    const caughtUp = nextOffset >= highWatermark ? ',"caughtUp":true' : "";
    return Buffer.from(
      `{"type":"records","id":${JSON.stringify(id)},"topic":${JSON.stringify(topic)},"partition":${partition},"nextOffset":${nextOffset},"highWatermark":${highWatermark},"leaderEpoch":${leaderEpoch}${caughtUp},"records":[`,
    );
  },
  batchesHead: () => {
    assert(false, "batches are bytes, which JSON frames do not carry");
  },
};

export const msgpackFrames: FrameWriter = {
  encoding: "msgpack",
  frame: encodeMsgpack,
  recordsHead: (head, count) => {
    const writer = deliveryHead("records", head);
    writer.string("records");
    writer.arrayHeader(count);
    return writer.out.take();
  },
  batchesHead: (head, sizeBytes) => {
    const writer = deliveryHead("batches", head);
    writer.string("batches");
    writer.out.byte(0xc6); // bin 32
    writer.out.reserve(4);
    writer.out.length = writer.out.bytes.writeUInt32BE(sizeBytes, writer.out.length);
    return writer.out.take();
  },
};

function deliveryHead(type: "records" | "batches", head: DeliveryHead): MsgpackWriter {
  const writer = new MsgpackWriter(new ByteWriter(160));
  const caughtUp = head.nextOffset >= head.highWatermark;
  writer.mapHeader(caughtUp ? 9 : 8);
  writer.string("type");
  writer.string(type);
  writer.string("id");
  if (typeof head.id === "string") writer.string(head.id);
  else writer.integer(head.id);
  writer.string("topic");
  writer.string(head.topic);
  writer.string("partition");
  writer.integer(head.partition);
  writer.string("nextOffset");
  writer.uint64(head.nextOffset);
  writer.string("highWatermark");
  writer.uint64(head.highWatermark);
  writer.string("leaderEpoch");
  writer.integer(head.leaderEpoch);
  if (caughtUp) {
    writer.string("caughtUp");
    writer.boolean(true);
  }
  return writer;
}
