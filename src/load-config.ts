// Puts the settings together: flags before MILLRACE_… variables before the YAML file before defaults. What is unknown, given
// twice, of the wrong type or out of bounds is refused, all of it at once, with where it was said. Reads nothing by itself.

import {
  defaultSettings,
  environmentName,
  flagName,
  type Setting,
  type SettingName,
  type Settings,
  settingNames,
  settingRules,
  settingsTable,
} from "./config.ts";
import { nearestName } from "./nearest-name.ts";

export interface ConfigSources {
  /** The arguments after the command: settings as flags, and --config. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gives a file's text. */
  readFile(path: string): Promise<string>;
}

export interface LoadedConfig {
  readonly settings: Settings;
  /** Where each value came from: "flag --listen", "variable MILLRACE_LISTEN", "file millrace.yaml" or "default". */
  readonly origins: Readonly<Record<SettingName, string>>;
}

export interface ConfigRow {
  readonly name: SettingName;
  readonly value: Settings[SettingName];
  readonly origin: string;
  readonly unit: string;
  readonly help: string;
}

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** A value as one of the sources says it. */
interface Given {
  readonly name: SettingName;
  readonly value: unknown;
  readonly origin: string;
}

/** What a source says, and what is wrong with how it says it. */
interface Source {
  readonly given: readonly Given[];
  readonly problems: readonly string[];
  /** The YAML file it names. */
  readonly file?: string | undefined;
}

const fileFlag = "--config";
const fileVariable = "MILLRACE_CONFIG";

/**
 * Not ours to judge: variables of this project's tests and scripts, and those that Kubernetes gives every pod beside a
 * Service named millrace (MILLRACE_PORT=tcp://…); a setting must never be named so that they meet.
 */
const foreignVariable = /^MILLRACE_(TEST_|FIXTURE_|INTEROP_|MUTATION$|SERVICE_(HOST|PORT)(_|$)|PORT(_\d|$))/;

export async function loadConfig({ argv, env, readFile }: ConfigSources): Promise<LoadedConfig> {
  const flags = readFlags(argv);
  const variables = readVariables(env);
  const path = flags.file ?? variables.file;
  const file = path === undefined ? undefined : await readYaml(path, readFile);
  const sources = [file, variables, flags].filter((source) => source !== undefined);
  const problems = sources.flatMap((source) => source.problems);
  const settings: Record<string, unknown> = { ...defaultSettings };
  const origins = Object.fromEntries(settingNames.map((name) => [name, "default"])) as Record<SettingName, string>;
  for (const { name, value, origin } of sources.flatMap((source) => source.given)) {
    const expected = expectation(settingsTable[name], value);
    if (expected) problems.push(`${name} must be ${expected}, not ${JSON.stringify(value)} (${origin})`);
    settings[name] = value;
    origins[name] = origin;
  }
  if (problems.length === 0) problems.push(...brokenRules(settings, origins));
  if (problems.length > 0) throw new ConfigError(problems);
  return { settings: settings as unknown as Settings, origins };
}

/** What `millrace config print` shows. */
export function configPrint({ settings, origins }: LoadedConfig): ConfigRow[] {
  return settingNames.map((name) => {
    const setting: Setting = settingsTable[name];
    const unit = setting.kind === "integer" ? setting.unit : "";
    return { name, value: settings[name], origin: origins[name], unit, help: setting.help };
  });
}

function readFlags(argv: readonly string[]): Source {
  const given: Given[] = [];
  const problems: string[] = [];
  let file: string | undefined;
  const seen = new Map<string, string[]>();
  for (let index = 0; index < argv.length; index++) {
    const [flag, afterEquals] = split(argv[index]!);
    const { name, forced } = settingOfFlag(flag);
    if (flag !== fileFlag && name === undefined) {
      problems.push(unknown(flag, "is not a flag", [fileFlag, ...settingNames.map(flagName)]));
      const hasValue =
        flag.startsWith("--") && afterEquals === undefined && argv[index + 1]?.startsWith("--") === false;
      if (hasValue) index++;
      continue;
    }
    const isSwitch = name !== undefined && settingsTable[name].kind === "switch";
    const text = afterEquals ?? forced ?? (isSwitch ? "true" : argv[++index]);
    if (text === undefined || (forced !== undefined && afterEquals !== undefined)) {
      problems.push(text === undefined ? `${flag} needs a value` : `${flag} takes no value`);
      continue;
    }
    seen.set(name ?? fileFlag, [...(seen.get(name ?? fileFlag) ?? []), text]);
  }
  for (const [name, texts] of seen) {
    const isList = name !== fileFlag && settingsTable[name as SettingName].kind === "list";
    if (texts.length > 1 && !isList) problems.push(`${name === fileFlag ? fileFlag : flagName(name)} is given twice`);
    else if (name === fileFlag) file = texts[0];
    else given.push(fromText(name as SettingName, texts.join(","), `flag ${flagName(name)}`));
  }
  return { given, problems, file };
}

function split(argument: string): readonly [flag: string, value: string | undefined] {
  const equals = argument.indexOf("=");
  return equals < 0 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

/** --no-… turns a switch off. */
function settingOfFlag(flag: string): { name: SettingName | undefined; forced?: "false" } {
  const name = settingNames.find((one) => flagName(one) === flag);
  if (name !== undefined || !flag.startsWith("--no-")) return { name };
  const off = settingNames.find(
    (one) => settingsTable[one].kind === "switch" && flagName(one) === `--${flag.slice(5)}`,
  );
  return { name: off, forced: "false" };
}

/** An empty variable counts as not set: compose files pass those on. */
function readVariables(env: ConfigSources["env"]): Source {
  const given: Given[] = [];
  const problems: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("MILLRACE_") || variable === fileVariable || foreignVariable.test(variable)) continue;
    const name = settingNames.find((one) => environmentName(one) === variable);
    if (!name) problems.push(unknown(variable, "is not a setting", settingNames.map(environmentName)));
    else if (text) given.push(fromText(name, text, `variable ${variable}`));
  }
  return { given, problems, file: env[fileVariable] || undefined };
}

/** yaml is loaded only when there is a file: most starts have none. */
async function readYaml(path: string, readFile: ConfigSources["readFile"]): Promise<Source> {
  const text = await readFile(path).catch((cause: unknown) => {
    throw new ConfigError([`${path} cannot be read: ${cause instanceof Error ? cause.message : cause}`]);
  });
  const { isMap, isNode, isScalar, parseDocument } = await import("yaml");
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true, schema: "core" });
  if (document.errors.length > 0)
    return { given: [], problems: document.errors.map(({ message }) => `${path}: ${message}`) };
  const content = document.contents;
  if (content === null || (isScalar(content) && content.value === null)) return { given: [], problems: [] };
  if (!isMap(content)) return { given: [], problems: [`${path}: a map of settings is expected`] };
  const given: Given[] = [];
  const problems: string[] = [];
  for (const { key: keyNode, value: valueNode } of content.items) {
    const key = String(keyNode);
    const value: unknown = isNode(valueNode) ? valueNode.toJS(document) : undefined;
    const name = settingNames.find((one) => one === key);
    if (name) given.push({ name, value, origin: `file ${path}` });
    else problems.push(`${path}: ${unknown(key, "is not a setting", settingNames)}`);
  }
  return { given, problems };
}

/** The value that a flag's or variable's text stands for; text that stands for none is left as it is, to be refused. */
function fromText(name: SettingName, text: string, origin: string): Given {
  const { kind } = settingsTable[name];
  if (kind === "integer" && /^-?\d{1,15}$/.test(text)) return { name, value: Number(text), origin };
  if (kind === "switch" && (text === "true" || text === "false")) return { name, value: text === "true", origin };
  if (kind !== "list") return { name, value: text, origin };
  const elements = text.split(",").map((element) => element.trim());
  return { name, value: elements.filter((element) => element !== ""), origin };
}

/** What the value should have been, or undefined when it is right. */
function expectation(setting: Setting, value: unknown): string | undefined {
  switch (setting.kind) {
    case "integer": {
      const { min, max, unit } = setting;
      const isRight = Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
      return isRight ? undefined : `a whole number from ${min} to ${max}${unit && ` ${unit}`}`;
    }
    case "switch":
      return typeof value === "boolean" ? undefined : "true or false";
    case "choice":
      return setting.choices.some((choice) => choice === value) ? undefined : `one of ${setting.choices.join(", ")}`;
    case "list": {
      const isRight =
        Array.isArray(value) && value.every((one) => typeof one === "string" && setting.form.pattern.test(one));
      return isRight ? undefined : `a list, each element ${setting.form.says}`;
    }
    default:
      return typeof value === "string" && setting.form.pattern.test(value) ? undefined : setting.form.says;
  }
}

function brokenRules(
  settings: Readonly<Record<string, unknown>>,
  origins: Readonly<Record<SettingName, string>>,
): string[] {
  return settingRules
    .filter(({ lower, upper }) => (settings[lower] as number) > (settings[upper] as number))
    .map(
      ({ lower, upper, because }) =>
        `${lower} (${settings[lower]}, ${origins[lower]}) must not be above ${upper} (${settings[upper]}, ${origins[upper]}): ${because}`,
    );
}

function unknown(name: string, what: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  return nearest ? `${name} ${what}; is ${nearest} meant?` : `${name} ${what}`;
}
