// The same with Node's own fetch: JSON lines from standard input into a topic, or a topic out to standard output.
//   node examples/pipe.mjs in lines < records.ndjson      each line {"key"?, "value"}
//   node examples/pipe.mjs out lines [--follow]           each line a record

import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { follow: { type: "boolean" } } });
const [direction, topic = "lines"] = positionals;
const records = `${process.env.MILLRACE_URL ?? "http://127.0.0.1:8082"}/v1/topics/${encodeURIComponent(topic)}/records`;
const ndjson = "application/x-ndjson";

if (direction === "in") {
  // The body is the stream itself: the broker appends while it comes, and slows it down when the disk is slower.
  const answer = await fetch(records, {
    method: "POST",
    headers: { "content-type": ndjson },
    body: process.stdin,
    duplex: "half",
  });
  const told = await answer.json(); // { appended }, or the problem with the line it is about
  console.error(JSON.stringify(told));
  process.exitCode = answer.ok ? 0 : 1;
} else if (direction === "out") {
  const answer = await fetch(`${records}?offset=earliest${values.follow ? "&follow=true" : ""}`, {
    headers: { accept: ndjson },
  });
  if (answer.ok) for await (const chunk of answer.body) process.stdout.write(chunk);
  else {
    console.error(await answer.text());
    process.exitCode = 1;
  }
} else {
  console.error("say in or out, and a topic");
  process.exitCode = 64;
}
