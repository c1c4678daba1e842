// The floor: what a broker on fastify cannot be faster than. A bare route that parses the body the same way (JSON.parse, or
// msgpackr, or not at all) and appends its bytes to one file: all that wait are written at once, synced once and answered.
// It has no topics, offsets, checks, indexes or metrics.

import fs from "node:fs";
import fastify from "fastify";
import { unpack } from "msgpackr";
import { answerParent, countsOf } from "./lib/child-side.ts";

interface Waiting {
  readonly bytes: Buffer;
  readonly resolve: (position: number) => void;
  readonly reject: (error: Error) => void;
}

class GroupCommit {
  readonly #fd: number;
  readonly #syncMs: number;
  #waiting: Waiting[] = [];
  #writing = false;
  #position = 0;
  syncs = 0;
  batches = 0;

  constructor(path: string, syncMs: number) {
    this.#fd = fs.openSync(path, "w");
    this.#syncMs = syncMs;
  }

  append(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, resolve, reject });
      if (!this.#writing) this.#drain();
    });
  }

  #drain(): void {
    const group = this.#waiting;
    this.#writing = group.length > 0;
    if (!this.#writing) return;
    this.#waiting = [];
    const position = this.#position;
    fs.writev(
      this.#fd,
      group.map(({ bytes }) => bytes),
      position,
      (error, written) => {
        if (error) throw error;
        this.#position += written;
        this.#sync(() => {
          this.syncs += 1;
          this.batches += group.length;
          let at = position;
          for (const { bytes, resolve } of group) {
            resolve(at);
            at += bytes.length;
          }
          this.#drain();
        });
      },
    );
  }

  #sync(done: () => void): void {
    let waits = this.#syncMs > 0 ? 2 : 1;
    const ended = () => {
      waits -= 1;
      if (waits === 0) done();
    };
    if (this.#syncMs > 0) setTimeout(ended, this.#syncMs);
    fs.fdatasync(this.#fd, (error) => {
      if (error) throw error;
      ended();
    });
  }
}

let commit: GroupCommit;
let page = Buffer.alloc(0);
const app = fastify();
for (const [type, parse] of [
  ["application/json", (body: Buffer) => JSON.parse(body.toString()) as unknown],
  ["application/msgpack", (body: Buffer) => unpack(body) as unknown],
  ["application/vnd.kafka.record-batch", (body: Buffer) => body],
] as const)
  app.addContentTypeParser(type, { parseAs: "buffer", bodyLimit: 2 ** 25 }, (request, body, done) => {
    (request as { bytes?: Buffer }).bytes = body as Buffer;
    done(null, parse(body as Buffer));
  });
app.post("/append", async (request) => ({ offset: await commit.append((request as { bytes?: Buffer }).bytes!) }));
app.get("/page", (_request, reply) => reply.type("application/octet-stream").send(page));

answerParent({
  async start({ folder, syncMs, pageBytes }: { folder: string; syncMs: number; pageBytes: number }) {
    commit = new GroupCommit(`${folder}/floor`, syncMs);
    page = Buffer.alloc(pageBytes, 1);
    return await app.listen({ host: "127.0.0.1", port: 0 });
  },
  counts: () => countsOf(commit),
  async stop() {
    app.server.closeAllConnections();
    await app.close();
  },
});
