// What users import: every symbol and every method of it is described, and a browser loads little for it.

import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import ts from "typescript";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const entry = join(root, "src/client/client.ts");
const bundleBytesMax = 30 * 1024;

/** The text above a declaration, if there is any. */
const described = (symbol: ts.Symbol, checker: ts.TypeChecker): boolean =>
  ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim() !== "" ||
  symbol.getJsDocTags(checker).some(({ name }) => name === "internal");

test("every public symbol is described, and every method of a class", { timeout: 60_000 }, () => {
  const config = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
  const program = ts.createProgram([entry], options);
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
  const missing: string[] = [];
  const exported = checker.getExportsOfModule(module);
  expect(exported.length).toBeGreaterThan(40);
  for (const each of exported) {
    const symbol = each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each) : each;
    if (!described(symbol, checker)) missing.push(symbol.name);
    if (!(symbol.flags & ts.SymbolFlags.Class)) continue;
    for (const member of symbol.members?.values() ?? []) {
      const isMethod = member.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.GetAccessor);
      if (!isMethod || member.name.startsWith("__") || member.name.includes("#")) continue;
      if (!described(member, checker)) missing.push(`${symbol.name}.${member.name}`);
    }
  }
  expect(missing).toEqual([]);
});

test(`a browser loads less than ${bundleBytesMax} bytes, gzipped, and nothing from elsewhere`, {
  timeout: 60_000,
}, async () => {
  const bundle = await rolldown({ input: entry, platform: "browser", logLevel: "silent", tsconfig: false });
  const { output } = await bundle.generate({ format: "esm", minify: true });
  expect(output).toHaveLength(1);
  expect(output[0].imports).toEqual([]);
  expect(output[0].code).not.toMatch(/\bBuffer\b|\bprocess\.|require\(/);
  expect(output[0].exports).toContain("Millrace");
  expect(gzipSync(output[0].code).length).toBeLessThan(bundleBytesMax);
  await bundle.close();
});
