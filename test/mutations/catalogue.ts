// Every seeded defect, by the folder of src it is in. The names are what MILLRACE_MUTATION takes.

import { clusterMutations } from "./cluster.ts";
import { consumerGroupsMutations } from "./consumer-groups.ts";
import { etcdMutations } from "./etcd.ts";
import { ioMutations } from "./io.ts";
import { logMutations } from "./log.ts";
import type { Mutation } from "./mutation.ts";
import { protocolMutations } from "./protocol.ts";

export const mutations: readonly Mutation[] = [
  ...clusterMutations,
  ...consumerGroupsMutations,
  ...etcdMutations,
  ...ioMutations,
  ...logMutations,
  ...protocolMutations,
];
