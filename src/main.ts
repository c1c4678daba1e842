// The command line: finds out what is asked for and loads only that. `--help` touches no disk.

import { createRequire } from "node:module";
import { Command } from "commander";
import { environmentName, flagName, type Setting, type SettingName, settingNames, settingsTable } from "./config.ts";
import type { LoadedConfig } from "./load-config.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { readonly version: string };

/** What an operator can put right: told in one line each, without a stack. */
const expectedErrors = new Set([
  "BrokerError",
  "ConfigError",
  "DataFolderError",
  "DiskError",
  "FolderLockedError",
  "LogCorruptError",
  "MetadataCorruptError",
]);
const socketErrors = new Set(["EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOTFOUND"]);
const hints: ReadonlyMap<string, string> = new Map([
  ["DiskError", "; see that the data folder is there and may be written to"],
]);
/** As sysexits.h has it: wrong usage. */
const usageExitCode = 64;

const command = commandLine();
try {
  await command.parseAsync(process.argv);
} catch (error) {
  fail(error);
}

function commandLine(): Command {
  const program = new Command("millrace")
    .description("A durable message log broker that speaks HTTP.")
    .version(version);
  withSettings(program.command("serve"))
    .description("Start a broker.")
    .action(async (_options: object, serveCommand: Command) => {
      const [{ settings }, { serve }] = await Promise.all([load(serveCommand), import("./cli/serve.ts")]);
      await serve(settings, version);
    });
  const config = program.command("config").description("The settings.");
  withSettings(config.command("print"))
    .description("Show every setting: its value and where it came from.")
    .action(async (_options: object, printCommand: Command) => {
      const [loaded, { configText }] = await Promise.all([load(printCommand), import("./cli/config-print.ts")]);
      process.stdout.write(configText(loaded));
    });
  addLogCommand(program.command("log").description("Repair the files of a stopped broker."));
  return program;
}

function addLogCommand(log: Command): void {
  log
    .command("truncate")
    .description("Cut a damaged partition at its first bad byte; without --yes only say what is wrong.")
    .requiredOption("--data-dir <folder>", "the broker's data folder")
    .requiredOption("--topic <name>", "the topic")
    .requiredOption("--partition <number>", "the partition", Number)
    .option("--yes", "do it")
    .action(async (options: { dataDir: string; topic: string; partition: number; yes?: boolean }) => {
      const [{ truncateLog }, { NodeDisk }, { NodeClock }, { nodeCodecs }, { silentLogger }] = await Promise.all([
        import("./cli/log.ts"),
        import("./io/node-disk.ts"),
        import("./io/node-clock.ts"),
        import("./io/codecs.ts"),
        import("./io/logger.ts"),
      ]);
      const { dataDir, topic, partition, yes = false } = options;
      const io = { disk: new NodeDisk(), clock: new NodeClock(), codecs: nodeCodecs, logger: silentLogger };
      process.stdout.write(`${await truncateLog({ dataDir, topic, partition, confirmed: yes }, io)}\n`);
    });
}

/** The settings as options, for --help; what is given is read by load-config, which knows the near names of wrong ones. */
function withSettings(of: Command): Command {
  of.allowUnknownOption().allowExcessArguments().option("--config <file>", "a YAML file of settings");
  for (const name of settingNames) of.option(flagUsage(name), settingHelp(name));
  return of.addHelpText(
    "after",
    "\nEach setting is also a MILLRACE_… variable; flags win over variables, those over the file.",
  );
}

function flagUsage(name: SettingName): string {
  const setting: Setting = settingsTable[name];
  const flag = flagName(name);
  if (setting.kind === "switch") return setting.default ? flag.replace("--", "--no-") : flag;
  return `${flag} <${setting.kind === "integer" ? setting.unit || "number" : setting.kind === "list" ? "list" : "text"}>`;
}

function settingHelp(name: SettingName): string {
  const setting: Setting = settingsTable[name];
  const { default: otherwise } = setting;
  const said = otherwise === undefined || (Array.isArray(otherwise) && otherwise.length === 0) ? "" : ` [${otherwise}]`;
  return `${setting.help}${said} (${environmentName(name)})`;
}

async function load(of: Command): Promise<LoadedConfig> {
  const [{ loadConfig }, { NodeDisk }] = await Promise.all([import("./load-config.ts"), import("./io/node-disk.ts")]);
  const disk = new NodeDisk();
  const readFile = async (path: string) => new TextDecoder().decode(await disk.readFile(path));
  return loadConfig({ argv: argumentsAfter(of), env: process.env, readFile });
}

/** What follows the command's own words. */
function argumentsAfter(of: Command): readonly string[] {
  const words: string[] = [];
  for (let at: Command | null = of; at?.parent; at = at.parent) words.unshift(at.name());
  return process.argv.slice(2 + words.length);
}

function fail(error: unknown): void {
  const { name, code, message, stack } = error as Error & { readonly code?: string };
  const isSocketError = code !== undefined && socketErrors.has(code);
  const text = expectedErrors.has(name) || isSocketError ? message + (hints.get(name) ?? "") : (stack ?? String(error));
  for (const line of text.split("\n")) process.stderr.write(`millrace: ${line}\n`);
  process.exit(name === "ConfigError" ? usageExitCode : 1);
}
