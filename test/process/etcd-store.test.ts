// The store over a real etcd: the contract of all stores, and what only a real one shows.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Operation } from "../../src/cluster/metadata-store.ts";
import { metadataStoreContract, type StoreUnderTest } from "../cluster/metadata-store.contract.ts";
import { needs } from "../required-tools.ts";
import { Etcd, etcdGateway, storeOn } from "./etcd-process.ts";
import { History, WatchedStore } from "./watched-store.ts";

const put = (key: string, value: unknown): Operation => ({ kind: "put", key, value });

needs("etcd").describe("a store over etcd", () => {
  let etcd: Etcd;
  let tests = 0;
  beforeAll(async () => {
    etcd = await Etcd.start();
  });
  afterAll(() => etcd.end());

  /** etcd counts whole seconds, from 1: this shortens the waits and leaves room for a busy machine. */
  const timeScale = 0.25;

  metadataStoreContract("EtcdStore", async () => {
    const [url] = etcd.urls as [string];
    const prefix = `/contract-${++tests}/`;
    const watched = new WatchedStore(storeOn(etcd.urls, prefix, { rangePageKeys: 3 }), timeScale);
    const history = await History.start(storeOn(etcd.urls, prefix));
    return {
      store: watched,
      pass: async (seconds) => {
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000 * timeScale));
        await watched.leasesEnded(url);
      },
      forgetHistory: async () => {
        await history.now(); // its own watch must not be among those that come too late
        const { revision } = await history.store.range("");
        await etcdGateway(url, "/v3/kv/compaction", { revision: `${revision}`, physical: true });
        watched.compacted(revision);
      },
      settle: async () => watched.toldAll(await history.now()),
      remove: async () => {
        await Promise.all([watched.close(), history.store.close()]);
      },
    } satisfies StoreUnderTest;
  });

  test("a range of many pages is of one revision, while others write", async () => {
    const store = storeOn(etcd.urls, "/pages/", { rangePageKeys: 7 });
    const width = 50;
    const write = (round: number) =>
      store.transaction(
        [],
        Array.from({ length: width }, (_, index) => put(`k/${100 + index}`, round)),
      );
    await write(0);
    let isOver = false;
    const writing = (async () => {
      for (let round = 1; !isOver; round++) await write(round);
    })();
    for (let read = 0; read < 20; read++) {
      const { values, revision } = await store.range("k/");
      expect(values).toHaveLength(width);
      expect(new Set(values.map(({ value }) => value)).size).toBe(1);
      expect(values[0]!.modRevision).toBeLessThanOrEqual(revision);
    }
    isOver = true;
    await writing;
    await store.close();
  });
});
