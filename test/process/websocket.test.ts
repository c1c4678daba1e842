// The contract of the WebSocket once more, over real sockets.

import { contract } from "../http/websocket/contract.ts";
import { groupContract } from "../http/websocket/group-contract.ts";

contract("loopback");
groupContract("loopback");
