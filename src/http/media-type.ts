// Content-Type and Accept, as RFC 9110 reads them.

export const mediaTypes = {
  json: "application/json",
  msgpack: "application/msgpack",
  ndjson: "application/x-ndjson",
  bytes: "application/octet-stream",
  recordBatch: "application/vnd.kafka.record-batch",
  eventStream: "text/event-stream",
  html: "text/html",
} as const;

/** `type/subtype` in lower case; undefined if there is none, if it is no media type, or if its charset is not UTF-8. */
export function contentMediaType(contentType: string | undefined): string | undefined {
  if (contentType === undefined || contentType === mediaTypes.json) return contentType;
  const [type = "", ...parameters] = contentType.split(";");
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() !== "charset") continue;
    if (!/^"?utf-?8"?$/i.test(value.trim())) return undefined;
  }
  const name = type.trim().toLowerCase();
  return name.includes("/") ? name : undefined;
}

/** Which of `offered` (most wanted by the server first) the client wants most; undefined if none. */
export function negotiate(accept: string | undefined, offered: readonly string[]): string | undefined {
  if (accept === undefined || accept === "*/*" || accept === "") return offered[0];
  if (accept === offered[0]) return accept;
  let best: string | undefined;
  let bestQuality = 0;
  const ranges = accept.split(",").map(parseRange);
  for (const type of offered) {
    const quality = qualityOf(type, ranges);
    if (quality > bestQuality) {
      best = type;
      bestQuality = quality;
    }
  }
  return best;
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function parseRange(text: string): Range {
  const [type = "", ...parameters] = text.split(";");
  let quality = 1;
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() === "q") quality = Number(value.trim());
  }
  return { type: type.trim().toLowerCase(), quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** The most specific range decides. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  const group = `${type.slice(0, type.indexOf("/"))}/*`;
  for (const pattern of [type, group, "*/*"]) {
    const range = ranges.find((candidate) => candidate.type === pattern);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

/** True if the client asks for gzip by name. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  if (acceptEncoding === undefined) return false;
  return acceptEncoding.split(",").some((text) => {
    const range = parseRange(text);
    return (range.type === "gzip" || range.type === "x-gzip") && range.quality > 0;
  });
}
