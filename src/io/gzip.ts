// gzip for HTTP bodies, streaming or off the main thread. The batch codecs are in codecs.ts.

import type { Transform } from "node:stream";
import { createGunzip, gzip } from "node:zlib";

/** Inflates what is written to it; input that is not gzip, or is cut short, is an error event. */
export function gunzipStream(): Transform {
  return createGunzip();
}

/** Fast rather than small: for answers that are made once and sent once. */
export function gzipBytes(bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(bytes, { level: 1 }, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
