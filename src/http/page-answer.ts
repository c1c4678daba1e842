// What answers that carry records share: they wait no longer than their client, and leave compressed if it asked for that.

import { gzipBytes } from "../io/gzip.ts";
import { gzipBytesMin } from "./limits.ts";
import { acceptsGzip } from "./media-type.ts";
import type { Exchange } from "./route.ts";

/** Aborted once the client is gone, or has its answer. */
export function goneSignal({ reply }: Exchange): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  else reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

export async function sendPage(exchange: Exchange, page: Buffer): Promise<void> {
  const reply = exchange.begin(200, exchange.mediaType);
  if (page.length < gzipBytesMin || !acceptsGzip(exchange.request.headers["accept-encoding"])) {
    reply.send(page);
    return;
  }
  const zipped = await gzipBytes(page);
  reply.header("content-encoding", "gzip").send(zipped);
}
