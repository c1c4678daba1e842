// Who may talk to the broker from a browser. Pure: looks at headers and settings, decides before anything is done.

import { BrokerError } from "../protocol/error-codes.ts";

export interface OriginRules {
  readonly allowedOrigins: readonly string[];
  /** undefined: any Host is served. Else loopback names and these. */
  readonly allowedHosts: readonly string[] | undefined;
}

/** Every header an answer of this API can carry for a script to read. */
export const exposedHeaders = [
  "high-watermark",
  "location",
  "log-start-offset",
  "next-offset",
  "retry-after",
  "x-request-id",
].join(", ");

/** `host[:port]` to the host alone, in lower case and without the brackets of IPv6. */
function hostName(host: string): string {
  const name = host.startsWith("[") ? host.slice(1, host.indexOf("]")) : host.replace(/:[0-9]*$/, "");
  return name.toLowerCase().replace(/\.$/, "");
}

export function isLoopbackName(host: string): boolean {
  const name = hostName(host);
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

/** The loopback Host that was seen last: almost always the next one's too. */
let lastLoopbackHost: string | undefined;

/** Against DNS rebinding: a page of a name that resolves to 127.0.0.1 sends that name here. */
export function judgeHost(host: string | undefined, rules: OriginRules): BrokerError | undefined {
  // Only HTTP/1.0 can do without, and no browser speaks that.
  if (rules.allowedHosts === undefined || host === undefined || host === lastLoopbackHost) return undefined;
  if (isLoopbackName(host)) {
    lastLoopbackHost = host;
    return undefined;
  }
  const name = hostName(host);
  if (rules.allowedHosts.some((allowed) => hostName(allowed) === name)) return undefined;
  return new BrokerError("HOST_NOT_ALLOWED", "the Host is neither a loopback name nor in allowedHosts");
}

export type OriginVerdict = "same" | "allowed" | "refused";

export function judgeOrigin(origin: string, host: string | undefined, rules: OriginRules): OriginVerdict {
  if (rules.allowedOrigins.includes(origin)) return "allowed";
  let url: URL;
  try {
    url = new URL(origin);
  } catch {
    return "refused";
  }
  // URL drops the scheme's own port; a Host may spell it.
  const port = url.protocol === "https:" ? ":443" : ":80";
  const own = host?.toLowerCase();
  return own !== undefined && url.host !== "" && (own === url.host || own === `${url.host}${port}`)
    ? "same"
    : "refused";
}

export const originRefused = (): BrokerError =>
  new BrokerError("ORIGIN_NOT_ALLOWED", "the Origin is neither this broker's own nor in allowedOrigins");
