// A WebSocket between two brokers as both its ends see it: one port, so that links and sessions can be tested without a network.

export interface PeerSocket {
  /** Given to send and not yet handed to the network. */
  readonly bufferedBytes: number;
  /** One binary message of these chunks, which must not change. */
  send(chunks: readonly Uint8Array[]): void;
  /** The closing handshake; what was sent before still goes out. */
  close(code: number, reason: string): void;
  /** At once, whatever was not written. */
  terminate(): void;
}

/** Calls come in this order: opened once (dialled sockets alone), messages, closed once. No call comes from within a call of the socket. */
export interface PeerSocketHandler {
  opened(): void;
  message(bytes: Uint8Array): void;
  /** Some of what was sent has been handed to the network. */
  written(): void;
  /** Also when it never opened. */
  closed(code: number, reason: string): void;
}

export interface PeerDialer {
  /** `origin`: "http://host:port" or "https://host:port". */
  dial(origin: string, handler: PeerSocketHandler): PeerSocket;
}
