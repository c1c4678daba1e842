// How two brokers show each other that they know the cluster's secret, without telling it. Pure.
//   listener → challenge: its nonce · dialler → hello: proof, nonce, who it is and whom it means · listener → welcome: proof, who it is
// A proof is an HMAC over both nonces and what its side says; nothing is parsed before its proof is checked. The proofs say who is at
// the other end, not that nobody changes what comes later: that is TLS's work.

import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import { MalformedFrameError } from "./peer-frames.ts";
import type { PeerIdentity } from "./peers.ts";

export const peerVersion = 1;
export const nonceBytes = 32;
const proofBytes = 32;

export interface Greeting extends PeerIdentity {
  readonly version: number;
}

export interface Hello extends Greeting {
  /** The broker that it means to reach: the proof is of no use with another. */
  readonly to: number;
}

export interface Welcome extends Greeting {
  /** The largest frame that it takes. */
  readonly frameBytesMax: number;
}

type Side = "hello" | "welcome";

export interface Nonces {
  readonly listener: Uint8Array;
  readonly dialler: Uint8Array;
}

export function sealHello(secret: string, nonces: Nonces, hello: Hello): Uint8Array {
  const text = Buffer.from(JSON.stringify(hello));
  return Buffer.concat([proof(secret, "hello", nonces, text), nonces.dialler, text]);
}

/** Undefined: the other side does not know the secret. */
export function openHello(
  secret: string,
  listenerNonce: Uint8Array,
  bytes: Uint8Array,
): { readonly hello: Hello; readonly nonces: Nonces } | undefined {
  if (bytes.length < proofBytes + nonceBytes) throw new MalformedFrameError("a hello without proof and nonce");
  const nonces = { listener: listenerNonce, dialler: bytes.subarray(proofBytes, proofBytes + nonceBytes) };
  const text = bytes.subarray(proofBytes + nonceBytes);
  if (!isProved(bytes, secret, "hello", nonces, text)) return undefined;
  const said = parse(text);
  if (!Number.isSafeInteger(said["to"])) throw new MalformedFrameError("a hello to nobody");
  return { hello: said as unknown as Hello, nonces };
}

export function sealWelcome(secret: string, nonces: Nonces, welcome: Welcome): Uint8Array {
  const text = Buffer.from(JSON.stringify(welcome));
  return Buffer.concat([proof(secret, "welcome", nonces, text), text]);
}

/** Undefined: the other side does not know the secret. */
export function openWelcome(secret: string, nonces: Nonces, bytes: Uint8Array): Welcome | undefined {
  if (bytes.length < proofBytes) throw new MalformedFrameError("a welcome without proof");
  const text = bytes.subarray(proofBytes);
  if (!isProved(bytes, secret, "welcome", nonces, text)) return undefined;
  const said = parse(text);
  const { frameBytesMax } = said as { frameBytesMax?: unknown };
  if (!Number.isSafeInteger(frameBytesMax) || (frameBytesMax as number) < 1024) {
    throw new MalformedFrameError("a welcome without the largest frame");
  }
  return said as unknown as Welcome;
}

/** Whoever has no secret shares the empty one, and listens to its own machine alone. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  const name = address.replace(/^\[|\]$/g, "").replace(/^::ffff:/, "");
  return name === "localhost" || name === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

function proof(secret: string, side: Side, nonces: Nonces, text: Uint8Array): Uint8Array {
  const hmac = createHmac("sha256", secret).update(`millrace peer v${peerVersion} ${side}\n`);
  return hmac.update(nonces.listener).update(nonces.dialler).update(text).digest();
}

function isProved(bytes: Uint8Array, secret: string, side: Side, nonces: Nonces, text: Uint8Array): boolean {
  return timingSafeEqual(bytes.subarray(0, proofBytes), proof(secret, side, nonces, text));
}

function parse(text: Uint8Array): Readonly<Record<string, unknown>> {
  let said: unknown;
  try {
    said = JSON.parse(Buffer.from(text).toString());
  } catch {
    throw new MalformedFrameError("a greeting that is no JSON");
  }
  const { clusterId, brokerId, incarnation, version } = (said ?? {}) as Partial<Record<string, unknown>>;
  const isWhole = typeof clusterId === "string" && Number.isSafeInteger(brokerId) && typeof incarnation === "string";
  if (!isWhole || !Number.isSafeInteger(version)) throw new MalformedFrameError("a greeting that says not who");
  return said as Readonly<Record<string, unknown>>;
}
