// `host:port` as settings write it; an IPv6 host in brackets.

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Undefined if it is not an address and a port from 0 to 65535. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}

export function formatUrl({ host, port }: ListenAddress): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
