// What a broker on fastify cannot start faster than: fastify that listens, and says where.

import fastify from "fastify";

const app = fastify();
app.get("/", () => ({}));
const url = await app.listen({ host: "127.0.0.1", port: 0 });
process.stdout.write(`${JSON.stringify({ url })}\n`);
