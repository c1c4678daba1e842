// Who may import whom, type imports included. The layers are those of docs/ARCHITECTURE.md:
//   main → http → broker → {replication, cluster, consumer-groups} → log → {protocol, io, metrics, config, assert}
// Globals (clocks, timers, randomness) are no imports: test/tidy/tidy.test.ts watches those.

const { join } = require("node:path");

/** Vocabulary that any layer but protocol may use. */
const ground = ["protocol", "io", "metrics", "config.ts", "assert.ts", "nearest-name.ts"];

/** What each folder or file of src may import, beside itself. */
const mayImport = {
  "assert.ts": [],
  "nearest-name.ts": [],
  protocol: ["assert.ts"],
  io: ["protocol", "assert.ts"],
  metrics: ["assert.ts"],
  "config.ts": ["protocol", "assert.ts", "nearest-name.ts"],
  "load-config.ts": ["config.ts", "nearest-name.ts"],
  log: ground,
  replication: ["log", ...ground],
  cluster: ground,
  "consumer-groups": ground,
  broker: ["replication", "cluster", "consumer-groups", "log", ...ground],
  http: ["broker", ...ground],
  "main.ts": ["http", "broker", "cli", "load-config.ts", ...ground],
  bin: ["main.ts"],
  client: ["protocol"],
  cli: ["client", "load-config.ts", ...ground],
  testing: ["http", ...ground],
  "testing.ts": ["testing", "http", "broker", ...ground],
};

const place = (name) => (name.endsWith(".ts") ? `^src/${name.replace(".", "\\.")}$` : `^src/${name}/`);

const layers = Object.entries(mayImport).map(([name, allowed]) => ({
  name: `layer-${name}`,
  comment: `src/${name} may import only itself and: ${allowed.join(", ") || "nothing"}`,
  severity: "error",
  from: { path: place(name), pathNot: "^src/cli/(serve|log)\\.ts$" },
  to: { path: "^src/", pathNot: [place(name), ...allowed.map(place)] },
}));

/** Node's modules and packages that have one home. */
const homes = [
  {
    name: "files-and-sockets",
    what: "node:(fs|fs/promises|net|dns|dgram|tls|child_process|worker_threads|cluster|os)",
    home: "^src/io/",
  },
  { name: "time", what: "node:(timers|timers/promises|perf_hooks)", home: "^src/io/" },
  { name: "http", what: "node:(http|https|http2)", home: "^src/(io|http)/" },
  { name: "zlib", what: "node:zlib", home: "^src/(io|http)/" },
  { name: "process", what: "node:process", home: "^src/(main\\.ts$|config\\.ts$|cli/|bin/)" },
  { name: "codecs", what: "(@node-rs/crc32|snappy|lz4-napi|fzstd)", home: "^src/io/" },
  { name: "fastify", what: "(@fastify/[^/]+|fastify)", home: "^src/http/" },
  { name: "websocket", what: "ws", home: "^src/(http/|io/|client/client-node\\.ts$)" },
  { name: "formats", what: "(msgpackr|ajv)", home: "^src/(http|io|config\\.ts$)" },
  { name: "prom-client", what: "prom-client", home: "^src/metrics/" },
  { name: "pino", what: "pino", home: "^src/(main\\.ts$|io/|cli/)" },
  { name: "undici", what: "undici", home: "^src/io/" },
  { name: "commander", what: "commander", home: "^src/(main\\.ts$|cli/)" },
];

// http may name the types of sockets and requests that fastify hands it.
const onlyAtHome = homes.map(({ name, what, home }) => ({
  name: `only-at-home-${name}`,
  comment: `${what} is used only in ${home}`,
  severity: "error",
  from: { path: "^src/", pathNot: home },
  to: {
    path: `(^|/node_modules/)${what.replace("node:", "(node:)?")}($|/)`,
    dependencyTypesNot: what.startsWith("node:") ? ["type-only"] : [],
  },
}));

module.exports = {
  forbidden: [
    ...layers,
    ...onlyAtHome,
    {
      name: "no-cycles",
      severity: "error",
      from: { path: "^src/" },
      to: { circular: true },
    },
    {
      name: "every-file-has-a-layer",
      comment: "add the new folder or file to mayImport in .dependency-cruiser.cjs",
      severity: "error",
      from: { path: "^src/", pathNot: Object.keys(mayImport).map(place) },
      to: {},
    },
    {
      name: "protocol-is-pure",
      comment: "protocol also runs in a browser",
      severity: "error",
      from: { path: "^src/(protocol|client)/", pathNot: "^src/client/client-node\\.ts$" },
      to: { dependencyTypes: ["core", "npm", "npm-dev"] },
    },
    {
      name: "cli-serve",
      comment: "of the command line, only serve starts a broker and its http face",
      severity: "error",
      from: { path: "^src/cli/serve\\.ts$" },
      to: { path: "^src/(log|replication|cluster|consumer-groups)/" },
    },
    {
      name: "cli-log",
      comment:
        "of the command line, only log opens a stopped broker's folder: its logs, and its store for the topics' configs",
      severity: "error",
      from: { path: "^src/cli/log\\.ts$" },
      to: { path: "^src/(http|broker|replication|consumer-groups)/" },
    },
    {
      name: "resolves",
      severity: "error",
      from: { path: "^src/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: join(__dirname, "tsconfig.json") },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
