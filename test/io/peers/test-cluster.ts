// Broker 1 that asks and broker 2 that answers, over sockets in memory.

import type { PeerSessionContext } from "../../../src/io/peers/peer-session.ts";
import type { PeerHandler } from "../../../src/io/peers/peers.ts";
import { SocketPeers } from "../../../src/io/peers/socket-peers.ts";
import { SimulatedClock } from "../../simulation/simulated-clock.ts";
import { SimulatedRandom } from "../../simulation/simulated-random.ts";
import { MemoryNetwork } from "./memory-sockets.ts";

export const identity = (brokerId: number) => ({ clusterId: "c", brokerId, incarnation: `i${brokerId}` });

export function testCluster(
  handler: PeerHandler,
  asker: { secret?: string; clusterId?: string } = {},
  listener: Partial<PeerSessionContext> = {},
) {
  const clock = new SimulatedClock();
  const network = new MemoryNetwork(clock);
  const bugs: unknown[] = [];
  network.listeners.set("http://127.0.0.1:2", {
    clock,
    random: new SimulatedRandom(2),
    identity: identity(2),
    secret: "s",
    handler,
    frameBytesMax: 2 ** 24,
    admit: () => true,
    ended: () => {},
    bug: (error) => bugs.push(error),
    ...listener,
  });
  const peers = new SocketPeers({
    dialer: network,
    clock,
    random: new SimulatedRandom(1),
    identity: { ...identity(1), ...(asker.clusterId !== undefined && { clusterId: asker.clusterId }) },
    secret: asker.secret ?? "s",
    originOf: (brokerId) => (brokerId === 3 ? "http://192.0.2.1:1" : `http://127.0.0.1:${brokerId}`),
  });
  return { clock, network, peers, bugs };
}
