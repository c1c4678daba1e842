// Where brokers reach each other on the ordinary port.

export const peerPath = "/v1/peer";
export const peerSubprotocol = "millrace.peer.v1";
