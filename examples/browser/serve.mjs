// Serves the page of this folder. `node examples/browser/serve.mjs [--port 8090]`, beside a broker that lets the page's origin in:
//   npm start -- --allowed-origins http://127.0.0.1:8090

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { port: { type: "string", default: "8090" } } });
const page = (name, contentType) => ({ body: readFileSync(join(import.meta.dirname, name)), contentType });
const pages = new Map([
  ["/", page("index.html", "text/html; charset=utf-8")],
  ["/tail.js", page("tail.js", "text/javascript; charset=utf-8")],
]);

const server = createServer((request, response) => {
  const found = pages.get(new URL(request.url ?? "/", "http://page").pathname);
  if (found === undefined) response.writeHead(404).end();
  else response.writeHead(200, { "content-type": found.contentType, "cache-control": "no-store" }).end(found.body);
});
server.listen(Number(values.port), "127.0.0.1", () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  console.log(`The page: ${origin}/?broker=http://127.0.0.1:8082&topic=readings`);
  console.log(`The broker must let it in: npm start -- --allowed-origins ${origin}`);
});
