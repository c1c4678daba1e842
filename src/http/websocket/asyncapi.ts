// The AsyncAPI 3 document, from the tables of frames: what is not in a table is not in the document.

import type { Schema } from "../json-schema.ts";
import { namedSchemas } from "../schemas.ts";
import { type ClientFrameKind, clientFrameSchemas, clientFrames } from "./client-frames.ts";
import { type ServerFrameType, serverFrameSchemas, serverFrames } from "./server-frames.ts";
import { subprotocols } from "./subprotocol.ts";

/** Those that frames refer to, and that these refer to. */
const sharedShapes = ["Problem", "ProducedOffset", "ProducedRecord", "Record", "RecordHeader"];

export function asyncapiDocument(version: string): object {
  const sent = Object.entries(clientFrames).map(([kind, { summary }]) => [
    `client_${kind}`,
    message(summary, clientFrameSchemas[kind as ClientFrameKind]),
  ]);
  const received = Object.entries(serverFrames).map(([type, { summary }]) => [
    `server_${type}`,
    message(summary, serverFrameSchemas[type as ServerFrameType]),
  ]);
  const names = [...sent, ...received].map(([name]) => name as string);
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Millrace",
      version,
      description: `A durable message log. Frames are text in the subprotocol ${subprotocols.json} and binary in ${subprotocols.msgpack}, where keys, values and header values are bin.`,
      license: { name: "Apache-2.0" },
    },
    defaultContentType: "application/json",
    channels: {
      socket: {
        address: "/v1/ws",
        title: "One socket, many subscriptions and produces",
        messages: Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
      },
    },
    operations: {
      clientFrames: operation("receive", "What the broker takes.", sent),
      serverFrames: operation("send", "What the broker says.", received),
    },
    components: {
      messages: Object.fromEntries([...sent, ...received]),
      schemas: Object.fromEntries(sharedShapes.map((name) => [name, namedSchemas[name]])),
    },
  };
}

const message = (summary: string, payload: Schema): object => ({ name: typeName(payload), summary, payload });

const typeName = ({ properties }: Schema): string => String(properties?.["type"]?.const);

const operation = (action: "send" | "receive", summary: string, messages: readonly (readonly unknown[])[]): object => ({
  action,
  summary,
  channel: { $ref: "#/channels/socket" },
  messages: messages.map(([name]) => ({ $ref: `#/channels/socket/messages/${name}` })),
});
