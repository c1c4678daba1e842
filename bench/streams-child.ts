// The other side of the sockets: produces over one, thousands of subscribers, and the client as users have it.

import { answerParent } from "./lib/child-side.ts";
import { type EndToEnd, EndToEndRun, type Producing, produceBatched } from "./lib/client-load.ts";
import { produceOverSocket, type SocketProducing } from "./lib/socket-load.ts";
import { type Flood, type Pace, Tails, type TailsWanted } from "./lib/tails.ts";

let tails: Tails | undefined;

const opened = (): Tails => {
  if (tails === undefined) throw new Error("there are no subscribers");
  return tails;
};

answerParent({
  produceOverSocket: (asked: SocketProducing) => produceOverSocket(asked),
  produceBatched: (asked: Producing) => produceBatched(asked),
  endToEnd: (asked: EndToEnd) => new EndToEndRun(asked).run(),
  async openTails(wanted: TailsWanted) {
    tails = await Tails.open(wanted);
  },
  paced: (pace: Pace) => opened().paced(pace),
  flood: (flood: Flood) => opened().flood(flood),
  arrived: ({ perSubscriber }: { readonly perSubscriber: number }) => opened().arrived(perSubscriber),
  delivered: () => opened().delivered(),
  async closeTails() {
    await tails?.close();
    tails = undefined;
  },
  async stop() {
    await tails?.close();
  },
});
