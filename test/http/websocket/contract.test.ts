// The contract of the WebSocket, over streams in memory.

import { contract } from "./contract.ts";
import { groupContract } from "./group-contract.ts";

contract("memory");
groupContract("memory");
