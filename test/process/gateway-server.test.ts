// The stand-in for etcd that needs nothing but Node is good enough for the contract of all stores, over real connections.

import { SingleNodeStore } from "../../src/cluster/single-node-store.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { metadataStoreContract } from "../cluster/metadata-store.contract.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { storeOn } from "./etcd-process.ts";
import { GatewayServer } from "./gateway-server.ts";
import { History, WatchedStore } from "./watched-store.ts";

metadataStoreContract("EtcdStore over a gateway server", async () => {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk({ folders: ["/data"] }).startProcess();
  const limits = { historyEventsMax: 100 };
  const inner = await SingleNodeStore.open({ disk, directory: "/data/metadata", clock, codecs: nodeCodecs, limits });
  const server = await GatewayServer.start(inner);
  const watched = new WatchedStore(storeOn([server.url], "/c/"));
  const history = await History.start(storeOn([server.url], "/c/"));
  return {
    store: watched,
    pass: (seconds) => clock.advance(seconds * 1000),
    forgetHistory: async () => {
      await history.now();
      for (let write = 0; write < 101; write++)
        await inner.transaction([], [{ kind: "put", key: "/c/filler", value: write }]);
      await inner.transaction([], [{ kind: "delete", key: "/c/filler" }]);
      watched.compacted((await inner.range("")).revision);
      await history.now();
    },
    settle: async () => watched.toldAll(await history.now()),
    remove: async () => {
      await Promise.all([watched.close(), history.store.close()]);
      await server.end();
      await inner.close();
    },
  };
});
