// Reads as a member of a group: start it twice, and the two share the partitions. `node examples/consume.mjs [topic] [group]`
// Ctrl-C ends it in order; started again it goes on where it was. With `--until-idle 2` it ends after 2 s without a record.

import { parseArgs } from "node:util";
import { Millrace } from "millrace/client";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { "until-idle": { type: "string" } } });
const [topic = "readings", group = "example"] = positionals;
const millrace = new Millrace({ url: process.env.MILLRACE_URL ?? "http://127.0.0.1:8082" });

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
process.once("SIGTERM", () => stop.abort());
const idleMs = Number(values["until-idle"] ?? Number.POSITIVE_INFINITY) * 1_000;
let idle;
const notIdle = () => {
  clearTimeout(idle);
  if (Number.isFinite(idleMs)) idle = setTimeout(() => stop.abort(), idleMs);
};

const consumer = millrace.consumer({ group, topics: [topic] });
consumer.on("assigned", ({ partitions }) => console.error("now mine:", JSON.stringify(partitions)));
notIdle();
await consumer.eachRecord(
  async ({ partition, offset, key, value }) => {
    console.log(`${partition}:${offset} ${key} ${JSON.stringify(value)}`);
    notIdle();
  },
  { concurrency: 8, signal: stop.signal }, // of one key one record at a time, and in order
);
clearTimeout(idle);
await millrace.close(); // commits what was handled, and leaves the group
