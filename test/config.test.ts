// The table of settings is whole and consistent, and names of flags and variables come from it.

import { expect, test } from "vitest";
import {
  defaultSettings,
  environmentName,
  flagName,
  type Setting,
  settingNames,
  settingRules,
  settingsTable,
} from "../src/config.ts";
import { loadConfig } from "../src/load-config.ts";

const nothing = { argv: [], env: {}, readFile: () => Promise.reject(new Error("no file is named")) };

test.each(settingNames)("%s has one sentence of help and a camelCase name", (name) => {
  expect(settingsTable[name].help).toMatch(/^[A-Z].{10,140}\.$/);
  expect(name).toMatch(/^[a-z]+([A-Z][a-z]+)*$/);
});

test.each(settingNames)("%s: its default and its bounds are legal", async (name) => {
  const setting: Setting = settingsTable[name];
  if (setting.kind !== "integer")
    return void expect((await loadConfig(nothing)).settings[name]).toEqual(setting.default);
  const { min, max } = setting;
  expect(min).toBeLessThan(max);
  expect(setting.default).toBeGreaterThanOrEqual(min);
  expect(setting.default).toBeLessThanOrEqual(max);
  expect(setting.unit).toBe(name.endsWith("Ms") ? "ms" : /Bytes(Max|InFlightMax)?$/.test(name) ? "bytes" : "");
});

test("the defaults keep the rules between settings", () => {
  for (const { lower, upper } of settingRules)
    expect(defaultSettings[lower]).toBeLessThanOrEqual(defaultSettings[upper] as number);
});

test("flag and variable names are derived", () => {
  expect(flagName("autoCreateTopics")).toBe("--auto-create-topics");
  expect(environmentName("autoCreateTopics")).toBe("MILLRACE_AUTO_CREATE_TOPICS");
  expect(flagName("listen")).toBe("--listen");
  expect(environmentName("dataDir")).toBe("MILLRACE_DATA_DIR");
  for (const derive of [flagName, environmentName])
    expect(new Set(settingNames.map(derive)).size).toBe(settingNames.length);
});

test("no variable is one that tests, scripts or Kubernetes set for themselves", async () => {
  for (const name of settingNames) {
    const loaded = loadConfig({ ...nothing, env: { [environmentName(name)]: "\0" } });
    const isHeard = await loaded.then(
      ({ origins }) => origins[name] !== "default",
      () => true,
    );
    expect([name, isHeard]).toEqual([name, true]);
  }
});
