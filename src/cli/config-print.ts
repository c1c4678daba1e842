// `millrace config print`: every setting with its value and where it came from, as YAML that can be a config file.

import { configPrint, type LoadedConfig } from "../load-config.ts";

export function configText(config: LoadedConfig): string {
  const rows = configPrint(config).map(({ name, value, origin, unit }) => ({
    // JSON is YAML. A setting without a value has no line of its own to give.
    text: value === undefined ? `# ${name}:` : `${name}: ${JSON.stringify(value)}`,
    origin: unit === "" ? origin : `${origin}, ${unit}`,
  }));
  const width = Math.max(...rows.map(({ text }) => text.length));
  return rows.map(({ text, origin }) => `${text.padEnd(width)}  # ${origin}\n`).join("");
}
