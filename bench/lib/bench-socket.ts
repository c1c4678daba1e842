// A bare WebSocket to the broker: frames are made beforehand and hardly looked at, so that the load generator is not what is measured.

import { WebSocket } from "ws";

export type SocketEncoding = "json" | "msgpack";

/** A handshake may wait behind thousands of others on a busy machine. */
const handshakeMsMax = 120_000;

/** Resolves once the broker is ready for frames. */
export function openSocket(url: string, encoding: SocketEncoding): Promise<WebSocket> {
  const address = `${url.replace(/^http/, "ws")}/v1/ws`;
  const socket = new WebSocket(address, `millrace.v1.${encoding}`, {
    perMessageDeflate: false,
    skipUTF8Validation: true,
    handshakeTimeout: handshakeMsMax,
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", (code) => reject(new Error(`a socket was closed with ${code}`)));
    socket.once("message", () => {
      socket.removeAllListeners();
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}
