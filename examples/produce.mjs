// Sends readings of three sensors, and says where each landed. `node examples/produce.mjs [topic] [count]`
// The broker is MILLRACE_URL, or http://127.0.0.1:8082.

import { Millrace } from "millrace/client";

const [topic = "readings", count = "10"] = process.argv.slice(2);
const millrace = new Millrace({ url: process.env.MILLRACE_URL ?? "http://127.0.0.1:8082" });
await millrace.admin().createTopic({ name: topic, partitionCount: 3 }); // made before? then nothing changes

const producer = millrace.producer();
const sensors = ["north", "south", "west"];
const sent = Array.from({ length: Number(count) }, async (_, index) => {
  const sensor = sensors[index % sensors.length];
  const celsius = Math.round(150 + 100 * Math.random()) / 10;
  // Records with one key keep their order. The promise resolves once the record is on the broker's disk.
  const { partition, offset } = await producer.send({ topic, key: sensor, value: { sensor, celsius } });
  console.log(`${sensor} ${celsius} °C → partition ${partition}, offset ${offset}`);
});
await Promise.all(sent);
await millrace.close();
