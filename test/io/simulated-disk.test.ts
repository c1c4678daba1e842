// The simulated disk keeps the same contract as the machine's.

import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { diskContract } from "./disk.contract.ts";

diskContract("SimulatedDisk", async () => {
  const disk = new SimulatedDisk({ folders: ["/data"] }).startProcess();
  return { disk, directory: "/data", remove: async () => {} };
});
