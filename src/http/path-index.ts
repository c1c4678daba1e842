// Which methods a path has, for 405 and OPTIONS: the router itself only knows whole matches.

import type { Method, Route } from "./route.ts";

export class PathIndex {
  readonly #paths: readonly { readonly pattern: RegExp; readonly methods: readonly Method[] }[];

  constructor(routes: readonly Route[]) {
    const byPath = new Map<string, Method[]>();
    for (const route of routes) {
      const methods = byPath.get(route.path) ?? [];
      byPath.set(route.path, methods);
      methods.push(route.method);
      if (route.method === "GET" && route.ownHead !== true) methods.push("HEAD");
    }
    this.#paths = [...byPath].map(([path, methods]) => ({
      pattern: new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/:[a-zA-Z]+/g, "[^/]+")}$`),
      methods: methods.sort(),
    }));
  }

  /** Empty if there is no such path. */
  methodsOf(path: string): readonly Method[] {
    return this.#paths.find((candidate) => candidate.pattern.test(path))?.methods ?? [];
  }
}
