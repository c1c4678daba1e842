// Every seeded defect, by the folder of src it is in. The names are what MILLRACE_MUTATION takes.

import { brokerMutations } from "./broker.ts";
import { clientMutations } from "./client.ts";
import { clusterMutations } from "./cluster.ts";
import { consumerGroupsMutations } from "./consumer-groups.ts";
import { etcdMutations } from "./etcd.ts";
import { httpMutations } from "./http.ts";
import { ioMutations } from "./io.ts";
import { logMutations } from "./log.ts";
import type { Mutation } from "./mutation.ts";
import { peerMutations } from "./peers.ts";
import { protocolMutations } from "./protocol.ts";
import { replicaLogMutations } from "./replica-log.ts";
import { testingMutations } from "./testing.ts";

export const mutations: readonly Mutation[] = [
  ...brokerMutations,
  ...clientMutations,
  ...clusterMutations,
  ...consumerGroupsMutations,
  ...etcdMutations,
  ...httpMutations,
  ...ioMutations,
  ...logMutations,
  ...peerMutations,
  ...protocolMutations,
  ...testingMutations,
  ...replicaLogMutations,
];
