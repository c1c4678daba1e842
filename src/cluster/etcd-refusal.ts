// What an error of etcd means for the request it answers: surely not done, or in doubt. etcd 3.4 and 3.5 say
// {error, message, code}, 3.6 {message, code}, a stream {error: {…}}; the codes are those of gRPC.

import { HttpFailure } from "../io/http-client.ts";

export type Meaning =
  /** Not done; no member would do it. */
  | "refused"
  /** Not done, for the token: a new one may help. */
  | "tokenRefused"
  /** Not done, for the state of this member: another may do it. */
  | "elsewhere"
  /** Done, or not, or done later. */
  | "inDoubt";

export class EtcdRefusal extends Error {
  override readonly name = "EtcdRefusal";
  /** gRPC's; −1 for what is no error of etcd. */
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  get isLeaseGone(): boolean {
    return this.code === notFound && this.message.includes("lease not found");
  }

  get isLeaseTaken(): boolean {
    return this.message.includes("lease already exists");
  }

  get isCompacted(): boolean {
    return this.code === outOfRange && this.message.includes("compacted");
  }
}

const invalidArgument = 3;
const notFound = 5;
const alreadyExists = 6;
const permissionDenied = 7;
const resourceExhausted = 8;
const failedPrecondition = 9;
const outOfRange = 11;
const unimplemented = 12;
const unauthenticated = 16;
const refused = new Set([
  invalidArgument,
  notFound,
  alreadyExists,
  permissionDenied,
  failedPrecondition,
  outOfRange,
  unimplemented,
]);

const tokenPattern = /invalid auth token|auth store is old|user name is empty/;

/** What went wrong with a call, as told by the network or by etcd. */
export function meaningOf(error: unknown): Meaning {
  if (error instanceof HttpFailure) return error.kind === "notSent" ? "elsewhere" : "inDoubt";
  if (!(error instanceof EtcdRefusal)) return "inDoubt";
  if (error.code === unauthenticated || tokenPattern.test(error.message)) return "tokenRefused";
  if (refused.has(error.code)) return "refused";
  // The check stands before the request is proposed.
  if (error.message.includes("etcdserver: no leader")) return "elsewhere";
  if (error.code === resourceExhausted && error.message.includes("too many requests")) return "elsewhere";
  // "database space exceeded" is in doubt too: a transaction that fills the quota is carried out, and told as refused.
  return "inDoubt";
}

interface ErrorBody {
  readonly error?: string | ErrorBody;
  readonly message?: string;
  readonly code?: number;
  readonly grpc_code?: number;
}

/** The error in an answer, undefined if it holds none. */
export function refusalIn(body: object): EtcdRefusal | undefined {
  const { error, message, code } = body as ErrorBody;
  if (typeof error === "object" && error !== null)
    return new EtcdRefusal(error.grpc_code ?? error.code ?? -1, error.message ?? "an error without a message");
  if (error === undefined && (message === undefined || code === undefined)) return undefined;
  return new EtcdRefusal(code ?? -1, message ?? error ?? "");
}

/** The error that a status other than 200 came with. */
export function refusalWith(status: number, text: string): EtcdRefusal {
  const shown = `HTTP status ${status}: ${text.slice(0, 200)}`;
  try {
    return refusalIn(JSON.parse(text) as object) ?? new EtcdRefusal(-1, shown);
  } catch {
    // Without its gateway etcd has no such path.
    return new EtcdRefusal(status === 404 ? unimplemented : -1, shown);
  }
}
