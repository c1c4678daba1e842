// The etcd store keeps the contract of all stores, over a gateway that is itself over a single-node store. This shows the store's
// own part without an etcd; test/process/etcd-store.test.ts shows it with one.

import { EtcdStore } from "../../src/cluster/etcd-store.ts";
import { SingleNodeStore } from "../../src/cluster/single-node-store.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { SimulatedClock, settled } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { GatewayFront } from "./gateway-front.ts";
import { GatewayHttpClient } from "./gateway-http-client.ts";
import { metadataStoreContract } from "./metadata-store.contract.ts";

metadataStoreContract("EtcdStore over a gateway to SingleNodeStore", async () => {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk({ folders: ["/data"] }).startProcess();
  const limits = { historyEventsMax: 100 };
  const inner = await SingleNodeStore.open({ disk, directory: "/data/metadata", clock, codecs: nodeCodecs, limits });
  const http = new GatewayHttpClient(new GatewayFront(inner));
  const random = new SimulatedRandom(1);
  // A short prefix: what the inner store holds may be no larger than what the contract puts.
  const store = new EtcdStore({
    endpoints: ["http://gateway"],
    prefix: "/c/",
    http,
    clock,
    random,
    limits: { rangePageKeys: 3 },
  });
  return {
    store,
    pass: (seconds) => clock.advance(seconds * 1000),
    forgetHistory: async () => {
      for (let write = 0; write < 101; write++)
        await inner.transaction([], [{ kind: "put", key: "filler", value: write }]);
    },
    settle: async () => {
      for (let round = 0; round < 3; round++) await settled();
    },
    remove: async () => {
      await store.close();
      await inner.close();
    },
  };
});
