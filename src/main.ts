// The command line: finds out what is asked for and loads only that. `--help` touches no disk.

import { createRequire } from "node:module";
import { Command, CommanderError, InvalidArgumentError } from "commander";
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
/** What to do about an error of the system, by the kind of thing that met it and its code. */
const hints: Readonly<Record<string, string>> = {
  "DiskError EACCES": "this user may not do that there; give a --data-dir that may be written to",
  "DiskError EROFS": "the filesystem is read-only; give a --data-dir that may be written to",
  "DiskError ENOENT": "a folder on the way is not there",
  "DiskError ENOTDIR": "there is a file where a folder is meant",
  "DiskError ENOSPC": "the disk is full",
  "listen EADDRINUSE": "is a broker running already? --listen host:port takes another",
  "listen EACCES": "this user may not take that port; --listen host:port takes another",
  "listen EADDRNOTAVAIL": "this machine does not have that address; --listen host:port takes another",
};
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
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "millrace: ")) })
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
    .requiredOption("--partition <number>", "the partition", wholeNumber)
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

function wholeNumber(text: string): number {
  if (/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
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
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : usageExitCode); // it has said why
  const { name, code = "", message, stack } = error as Error & { readonly code?: string };
  const isSocketError = socketErrors.has(code);
  const hint = hints[`${name === "DiskError" ? name : "listen"} ${code}`];
  const isExpected = expectedErrors.has(name) || isSocketError;
  const text = isExpected ? message + (hint === undefined ? "" : `; ${hint}`) : (stack ?? String(error));
  for (const line of text.split("\n")) process.stderr.write(`millrace: ${line}\n`);
  process.exit(name === "ConfigError" ? usageExitCode : 1);
}
