// In which order pieces leave, and how much the socket is given at once.

import { expect, test } from "vitest";
import { decodePiece, encodeMessage } from "../../../src/io/peers/peer-frames.ts";
import { PieceSender } from "../../../src/io/peers/piece-sender.ts";

test("large messages take turns, a small one goes first, and the socket is never given much more than it may hold", () => {
  const pieces: number[] = [];
  const socket = {
    bufferedBytes: 0,
    send(chunks: readonly Uint8Array[]) {
      const frame = Buffer.concat(chunks);
      this.bufferedBytes += frame.length;
      pieces.push(decodePiece(frame).id);
    },
    close() {},
    terminate() {},
  };
  const sender = new PieceSender(socket, 2 ** 20);
  const message = (id: number, length: number) =>
    sender.send(encodeMessage("reply", id, { head: null, parts: [new Uint8Array(length)] }));
  message(1, 2 ** 20);
  message(2, 2 ** 20);
  message(3, 100);
  expect(pieces).toEqual([1, 1, 1, 1]);
  expect(socket.bufferedBytes).toBeLessThan(2 ** 18 + 2 ** 16);
  socket.bufferedBytes = 0;
  sender.pump();
  expect(pieces.slice(4)).toEqual([3, 1, 2, 1, 2]);
  for (; !sender.isEmpty; sender.pump()) socket.bufferedBytes = 0;
  expect(sender.queuedBytes).toBe(0);
  expect(pieces.filter((id) => id === 1).length).toBe(17);
});
