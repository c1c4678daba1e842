import { expect, test } from "vitest";
import { parse } from "yaml";
import { configText } from "../../src/cli/config-print.ts";
import { defaultSettings } from "../../src/config.ts";
import { loadConfig } from "../../src/load-config.ts";

const readFile = () => Promise.reject(new Error("no file"));

test("every setting with its value and origin, as a file that says the same", async () => {
  const argv = ["--max-body-bytes", "5000000", "--allowed-origins", "https://a.example,https://b.example"];
  const loaded = await loadConfig({ argv, env: { MILLRACE_LOG_LEVEL: "warn" }, readFile });
  const text = configText(loaded);
  expect(text).toMatch(/^maxBodyBytes: 5000000 +# flag --max-body-bytes, bytes$/m);
  expect(text).toMatch(/^logLevel: "warn" +# variable MILLRACE_LOG_LEVEL$/m);
  expect(text).toMatch(/^listen: "127.0.0.1:8082" +# default$/m);
  const { advertisedUrl: _unset, ...settings } = loaded.settings;
  expect(parse(text)).toEqual(settings);
});

test("printed and read again it is the same", async () => {
  const printed = configText(await loadConfig({ argv: [], env: {}, readFile }));
  const again = await loadConfig({ argv: ["--config", "x.yaml"], env: {}, readFile: () => Promise.resolve(printed) });
  expect(again.settings).toEqual(defaultSettings);
});
