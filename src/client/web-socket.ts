// What the client needs of a WebSocket: the part that browsers and the package ws share.

/** An open or opening WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
}

/** Opens a WebSocket: `new WebSocket(url, protocol)` of the platform. */
export type OpenWebSocket = (url: string, protocol: string) => WebSocketLike;

/** The platform's own, if it has one. */
export function platformWebSocket(): OpenWebSocket | undefined {
  const { WebSocket } = globalThis as { readonly WebSocket?: new (url: string, protocol: string) => WebSocketLike };
  return WebSocket === undefined ? undefined : (url, protocol) => new WebSocket(url, protocol);
}

export const subprotocol = "millrace.v1.msgpack";
