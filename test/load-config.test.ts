// Settings from flags, variables, a YAML file and defaults: who wins, what is refused, and what the refusal says.

import { describe, expect, test } from "vitest";
import { defaultSettings, environmentName, flagName, settingNames } from "../src/config.ts";
import { ConfigError, configPrint, type LoadedConfig, loadConfig } from "../src/load-config.ts";

interface Sources {
  argv?: string[];
  env?: Record<string, string | undefined>;
  /** Content of millrace.yaml, named by --config if given. */
  yaml?: string;
}

function load({ argv = [], env = {}, yaml }: Sources): Promise<LoadedConfig> {
  const files = new Map(yaml === undefined ? [] : [["millrace.yaml", yaml]]);
  return loadConfig({
    argv: yaml === undefined ? argv : [...argv, "--config", "millrace.yaml"],
    env,
    readFile: async (path) => files.get(path) ?? Promise.reject(new Error(`ENOENT: ${path}`)),
  });
}

async function problems(sources: Sources): Promise<readonly string[]> {
  const error = await load(sources).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems;
}

test("without any source all settings have their defaults, and no file is read", async () => {
  const { settings, origins } = await load({});
  expect(settings).toEqual(defaultSettings);
  expect(new Set(Object.values(origins))).toEqual(new Set(["default"]));
});

test("flags win over variables, variables over the file, the file over defaults", async () => {
  const yaml = "maxWaitMs: 1\nbrokerId: 1\nlogLevel: error\n";
  const env = { MILLRACE_MAX_WAIT_MS: "2", MILLRACE_BROKER_ID: "2", HOME: "/root" };
  const { settings, origins } = await load({ yaml, env, argv: ["--max-wait-ms", "3"] });
  expect(settings).toEqual({ ...defaultSettings, maxWaitMs: 3, brokerId: 2, logLevel: "error" });
  expect(origins).toMatchObject({
    maxWaitMs: "flag --max-wait-ms",
    brokerId: "variable MILLRACE_BROKER_ID",
    logLevel: "file millrace.yaml",
    listen: "default",
  });
});

test("each kind of setting is taken from each source", async () => {
  const expected = {
    ...defaultSettings,
    dataDir: "/var/lib/mill race",
    brokerId: 7,
    autoCreateTopics: true,
    logLevel: "debug",
    advertisedUrl: "https://broker.example.com",
    allowedOrigins: ["https://a.example.com", "http://localhost:5173"],
    listen: "[::1]:0",
  };
  const argv = ["--data-dir=/var/lib/mill race", "--broker-id", "7", "--auto-create-topics", "--log-level=debug"];
  argv.push("--advertised-url", "https://broker.example.com", "--listen", "[::1]:0");
  argv.push("--allowed-origins", "https://a.example.com", "--allowed-origins=http://localhost:5173");
  const env = {
    MILLRACE_DATA_DIR: "/var/lib/mill race",
    MILLRACE_BROKER_ID: "7",
    MILLRACE_AUTO_CREATE_TOPICS: "true",
    MILLRACE_LOG_LEVEL: "debug",
    MILLRACE_ADVERTISED_URL: "https://broker.example.com",
    MILLRACE_ALLOWED_ORIGINS: "https://a.example.com, http://localhost:5173,",
    MILLRACE_LISTEN: "[::1]:0",
  };
  const yaml = `
dataDir: /var/lib/mill race   # a comment
brokerId: 7
autoCreateTopics: true
logLevel: debug
advertisedUrl: https://broker.example.com
allowedOrigins: [https://a.example.com, "http://localhost:5173"]
listen: "[::1]:0"
`;
  for (const sources of [{ argv }, { env }, { yaml }]) expect((await load(sources)).settings).toEqual(expected);
});

test("a switch is turned off by --no-… and by =false", async () => {
  const env = { MILLRACE_AUTO_CREATE_TOPICS: "true" };
  for (const flag of ["--no-auto-create-topics", "--auto-create-topics=false"])
    expect((await load({ env, argv: [flag] })).settings.autoCreateTopics).toBe(false);
});

test("the file is named by flag or variable, and an empty one says nothing", async () => {
  const readFile = async (path: string) => (path === "flag.yaml" ? "brokerId: 2" : "brokerId: 3");
  const env = { MILLRACE_CONFIG: "variable.yaml" };
  expect((await loadConfig({ argv: [], env, readFile })).settings.brokerId).toBe(3);
  expect((await loadConfig({ argv: ["--config=flag.yaml"], env, readFile })).settings.brokerId).toBe(2);
  for (const yaml of ["", "# only a comment\n", "---\n", "{}"])
    expect((await load({ yaml })).settings).toEqual(defaultSettings);
});

test("an empty variable counts as not set; those of tests and of Kubernetes are not ours", async () => {
  const env = {
    MILLRACE_LISTEN: "",
    MILLRACE_CONFIG: "",
    MILLRACE_BROKER_ID: undefined,
    MILLRACE_TEST_REQUIRE: "all",
    MILLRACE_MUTATION: "x",
    MILLRACE_SERVICE_HOST: "10.0.0.1",
    MILLRACE_SERVICE_PORT_HTTP: "8082",
    MILLRACE_PORT: "tcp://10.0.0.1:8082",
    MILLRACE_PORT_8082_TCP_ADDR: "10.0.0.1",
  };
  expect((await load({ env })).settings).toEqual(defaultSettings);
});

describe("refused", () => {
  test.each<[string, Sources, string]>([
    ["an unknown flag", { argv: ["--max-wait-mss", "1"] }, "--max-wait-mss is not a flag; is --max-wait-ms meant?"],
    ["an argument", { argv: ["orders"] }, "orders is not a flag"],
    ["a camelCase flag", { argv: ["--maxWaitMs=5"] }, "--maxWaitMs is not a flag; is --max-wait-ms meant?"],
    ["--no- before what is no switch", { argv: ["--no-listen"] }, "--no-listen is not a flag; is --listen meant?"],
    ["a flag without its value", { argv: ["--listen"] }, "--listen needs a value"],
    ["a value for --no-…", { argv: ["--no-auto-create-topics=true"] }, "--no-auto-create-topics takes no value"],
    ["a flag given twice", { argv: ["--broker-id=1", "--broker-id=2"] }, "--broker-id is given twice"],
    ["two files", { argv: ["--config=millrace.yaml"], yaml: "" }, "--config is given twice"],
    [
      "an unknown variable",
      { env: { MILLRACE_DATADIR: "x" } },
      "MILLRACE_DATADIR is not a setting; is MILLRACE_DATA_DIR meant?",
    ],
    ["an unknown key", { yaml: "data_dir: x" }, "millrace.yaml: data_dir is not a setting; is dataDir meant?"],
    ["a strange key", { yaml: "zzzzzz: x" }, "millrace.yaml: zzzzzz is not a setting"],
    ["a key of Object.prototype", { yaml: "constructor: x" }, "millrace.yaml: constructor is not a setting"],
    ["a list as the file", { yaml: "- dataDir" }, "millrace.yaml: a map of settings is expected"],
    [
      "a number out of bounds",
      { argv: ["--max-wait-ms=600001"] },
      "maxWaitMs must be a whole number from 0 to 600000 ms, not 600001 (flag --max-wait-ms)",
    ],
    [
      "a number that is none",
      { env: { MILLRACE_BROKER_ID: "1e3" } },
      'brokerId must be a whole number from 0 to 2147483647, not "1e3" (variable MILLRACE_BROKER_ID)',
    ],
    [
      "a fraction",
      { yaml: "brokerId: 1.5" },
      "brokerId must be a whole number from 0 to 2147483647, not 1.5 (file millrace.yaml)",
    ],
    [
      "a number in quotes",
      { yaml: 'brokerId: "1"' },
      'brokerId must be a whole number from 0 to 2147483647, not "1" (file millrace.yaml)',
    ],
    [
      "no value",
      { yaml: "autoCreateTopics:" },
      "autoCreateTopics must be true or false, not null (file millrace.yaml)",
    ],
    [
      "yes for true",
      { env: { MILLRACE_AUTO_CREATE_TOPICS: "yes" } },
      'autoCreateTopics must be true or false, not "yes" (variable MILLRACE_AUTO_CREATE_TOPICS)',
    ],
    [
      "a choice that is none",
      { argv: ["--log-level", "verbose"] },
      'logLevel must be one of trace, debug, info, warn, error, fatal, silent, not "verbose" (flag --log-level)',
    ],
    ["a number as text", { yaml: "dataDir: 5" }, "dataDir must be a path, not 5 (file millrace.yaml)"],
    ["an empty text", { argv: ["--data-dir="] }, 'dataDir must be a path, not "" (flag --data-dir)'],
    [
      "a text as a list",
      { yaml: "allowedHosts: a.example.com" },
      'allowedHosts must be a list, each element a host name, not "a.example.com" (file millrace.yaml)',
    ],
    [
      "an origin with a path",
      { argv: ["--allowed-origins=https://a.example.com/"] },
      'allowedOrigins must be a list, each element an origin, like https://app.example.com, not ["https://a.example.com/"] (flag --allowed-origins)',
    ],
    [
      "a larger body than may be in flight",
      { argv: ["--request-bytes-in-flight-max=1048576"], yaml: "maxLineBytes: 1024\nmaxFrameBytes: 1024" },
      "maxBodyBytes (33554432, default) must not be above requestBytesInFlightMax (1048576, flag --request-bytes-in-flight-max): else the largest body is always refused",
    ],
  ])("%s", async (_what, sources, problem) => {
    expect(await problems(sources)).toEqual([problem]);
  });

  test.each(["localhost", "127.0.0.1:65536", ":8082", "::1:8082", "host:80:90", "a b:80", "host:"])(
    "the address %j",
    async (listen) => {
      const [problem] = await problems({ argv: ["--listen", listen] });
      expect(problem).toBe(
        `listen must be host:port, like 127.0.0.1:8082 or [::1]:8082, not "${listen}" (flag --listen)`,
      );
    },
  );

  test("a key given twice, and a file that is not YAML, with the place", async () => {
    expect(await problems({ yaml: "brokerId: 1\nlogLevel: info\nbrokerId: 2\n" })).toEqual([
      expect.stringMatching(/^millrace\.yaml: Map keys must be unique at line 3, column 1/),
    ]);
    expect(await problems({ yaml: "brokerId: [1\n" })).toEqual([
      expect.stringMatching(/^millrace\.yaml: .* at line \d/),
    ]);
  });

  test("a file that cannot be read", async () => {
    expect(await problems({ argv: ["--config", "none.yaml"] })).toEqual([
      "none.yaml cannot be read: ENOENT: none.yaml",
    ]);
  });

  test("everything at once, also what a stronger source replaces", async () => {
    const found = await problems({
      yaml: "brokerId: x\nlisten: y\n",
      env: { MILLRACE_BROKER_ID: "-1", MILLRACE_NOPE: "1" },
      argv: ["--broker-id=3", "--nope"],
    });
    expect(found).toHaveLength(5);
  });
});

test("print shows every setting with value, origin, unit and help", async () => {
  const rows = configPrint(await load({ argv: ["--max-wait-ms=5"] }));
  expect(rows.map(({ name }) => name)).toEqual(settingNames);
  expect(rows.find(({ name }) => name === "maxWaitMs")).toEqual({
    name: "maxWaitMs",
    value: 5,
    origin: "flag --max-wait-ms",
    unit: "ms",
    help: expect.stringContaining("longest"),
  });
  expect(rows.find(({ name }) => name === "listen")).toMatchObject({ origin: "default", unit: "" });
});

test("what print shows, given as flags or variables, gives the same settings", async () => {
  const { settings } = await load({ yaml: "allowedHosts: [a, b]\nautoCreateTopics: true\nmaxWaitMs: 0\n" });
  const shown = settingNames.filter((name) => settings[name] !== undefined && String(settings[name]) !== "");
  const argv = shown.map((name) => `${flagName(name)}=${settings[name]}`);
  expect((await load({ argv })).settings).toEqual(settings);
  const env = Object.fromEntries(shown.map((name) => [environmentName(name), String(settings[name])]));
  expect((await load({ env })).settings).toEqual(settings);
});
