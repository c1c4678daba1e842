// Source files as JavaScript in a temporary folder, for tests that need a second Node process: Node 20 reads no types.

import { mkdir, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";

/** Compiles the named files of src, keeping their places, and returns the folder. The caller removes it. */
export async function compiledSources(names: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-compiled-"));
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  await symlink(resolve("node_modules"), join(folder, "node_modules"));
  for (const name of names) {
    const output = ts.transpileModule(await readFile(join("src", name), "utf8"), {
      fileName: name,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: name.endsWith(".cts") ? ts.ModuleKind.NodeNext : ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    });
    const target = join(folder, name.replace(/\.(c?)ts$/, ".$1js"));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, output.outputText);
  }
  return folder;
}
