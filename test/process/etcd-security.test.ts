// etcd behind certificates and passwords.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { EtcdStore } from "../../src/cluster/etcd-store.ts";
import type { Operation } from "../../src/cluster/metadata-store.ts";
import { NodeClock } from "../../src/io/node-clock.ts";
import { NodeHttpClient } from "../../src/io/node-http-client.ts";
import { NodeRandom } from "../../src/io/node-random.ts";
import { needs } from "../required-tools.ts";
import { Etcd, type EtcdMember, etcdGateway, storeOn } from "./etcd-process.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const put = (key: string, value: unknown): Operation => ({ kind: "put", key, value });
const waiting = { timeout: 20_000, interval: 20 };

needs("etcd").describe("etcd with users", () => {
  test("the token is fetched, fetched again when etcd has forgotten it, and a wrong password is a refusal", async () => {
    await using etcd = await Etcd.start();
    const [url] = etcd.urls as [string];
    const [member] = etcd.members as [EtcdMember];
    const user = { name: "broker", password: "secret" };
    const store = storeOn([url], "/own/", { callMsMax: 10_000 }, undefined, { user });
    await store.transaction([], [put("before", 1)]); // a password where none is asked for does no harm
    await enableUsers(url);

    await vi.waitFor(async () => expect((await store.get("before"))?.value).toBe(1), waiting);
    const told: unknown[] = [];
    const { revision } = await store.range("");
    store.watch("", revision + 1, {
      changed: (events) => told.push(...events.map((event) => (event.kind === "put" ? event.value.value : event.key))),
      compacted: () => told.push("compacted"),
    });
    expect((await store.transaction([], [put("a", 1)])).outcome).toBe("committed");
    const lease = await store.grantLease(10);
    expect(await store.keepAlive(lease)).toBe(true);
    await vi.waitFor(() => expect(told).toEqual([1]), waiting);

    // Tokens are kept in memory: after this the held one is worth nothing.
    await member.kill();
    member.start();
    await vi.waitFor(
      async () => expect((await store.transaction([], [put("a", 2)])).outcome).toBe("committed"),
      waiting,
    );
    await vi.waitFor(() => expect(told).toEqual([1, 2]), waiting);

    const stranger = storeOn([url], "/own/", {}, undefined, { user: { name: "broker", password: "wrong" } });
    await expect(stranger.get("a")).rejects.toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      message: /authentication failed/,
    });
    const nobody = storeOn([url], "/own/");
    await expect(nobody.transaction([], [put("a", 3)])).rejects.toMatchObject({ message: /user name is empty/ });
    const elsewhere = storeOn([url], "/other/", {}, undefined, { user });
    await expect(elsewhere.transaction([], [put("a", 3)])).rejects.toMatchObject({ message: /permission denied/ });
    await Promise.all([store, stranger, nobody, elsewhere].map((each) => each.close()));
  });
});

needs("etcd", "openssl").describe("etcd with certificates", () => {
  test("both sides show one, and without it there is no connection", async () => {
    using folder = new TemporaryFolder();
    const files = certificates(folder.path);
    await using etcd = await Etcd.start({ tls: files });
    const tls = {
      ca: readFileSync(files.ca, "utf8"),
      cert: readFileSync(files.cert, "utf8"),
      key: readFileSync(files.key, "utf8"),
    };
    const over = (options: ConstructorParameters<typeof NodeHttpClient>[0]) =>
      new EtcdStore({
        endpoints: etcd.urls,
        http: new NodeHttpClient(options),
        clock: new NodeClock(),
        random: new NodeRandom(),
        limits: { callMsMax: 1_000 },
      });
    const store = over({ tls });
    const told: unknown[] = [];
    const { revision } = await store.range("");
    store.watch("", revision + 1, { changed: (_, at) => told.push(at), compacted: () => expect.unreachable() });
    expect(await store.transaction([], [put("a", 1)])).toEqual({ outcome: "committed", revision: revision + 1 });
    await vi.waitFor(() => expect(told).toEqual([revision + 1]), waiting);

    const distrusting = over({ tls: { cert: tls.cert, key: tls.key } });
    // The server's certificate is judged before anything is sent: this was surely not done.
    await expect(distrusting.transaction([], [put("a", 2)])).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    const unknown = over({ tls: { ca: tls.ca } });
    await expect(unknown.get("a")).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect((await store.get("a"))?.value).toBe(1);
    await Promise.all([store, distrusting, unknown].map((each) => each.close()));
  });
});

async function enableUsers(url: string): Promise<void> {
  const ask = (path: string, body: object) => etcdGateway(url, `/v3/auth/${path}`, body);
  const key = Buffer.from("/own/").toString("base64");
  const range_end = Buffer.from("/own0").toString("base64");
  await ask("user/add", { name: "root", password: "root" });
  await ask("role/add", { name: "root" });
  await ask("user/grant", { user: "root", role: "root" });
  await ask("user/add", { name: "broker", password: "secret" });
  await ask("role/add", { name: "own" });
  await ask("role/grant", { name: "own", perm: { permType: "READWRITE", key, range_end } });
  await ask("user/grant", { user: "broker", role: "own" });
  await ask("enable", {});
}

/** An authority, and one certificate for both sides. */
function certificates(folder: string): { ca: string; cert: string; key: string } {
  const path = (name: string) => `${folder}/${name}`;
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    path("ca.key"),
    "-out",
    path("ca.pem"),
    "-days",
    "2",
    "-subj",
    "/CN=test authority",
  );
  openssl("req", ...newKey, "-keyout", path("key.pem"), "-out", path("request.pem"), "-subj", "/CN=127.0.0.1");
  writeFileSync(path("extensions"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  const signing = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "2"];
  openssl(
    "x509",
    "-req",
    "-in",
    path("request.pem"),
    ...signing,
    "-extfile",
    path("extensions"),
    "-out",
    path("cert.pem"),
  );
  return { ca: path("ca.pem"), cert: path("cert.pem"), key: path("key.pem") };
}
