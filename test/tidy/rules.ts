// What no formatter checks, judged on the syntax tree, so that comments and strings fool nobody: clocks, timers and
// randomness only in src/io, the environment only where settings are read, files of a readable size with a first comment.

import { basename } from "node:path";
import ts from "typescript";

export const fileLinesMax = 400;

export interface Finding {
  /** From 1; 0 for what concerns the whole file. */
  readonly line: number;
  readonly message: string;
}

// A client is no broker: it runs where src/io cannot, and has a door of its own.
const timeAndChance = /^src\/(?:io\/|client\/platform\.ts$)/;
const environment = /^src\/(?:main\.ts|config\.ts|cli\/|bin\/)/;

/** Globals with one home, written as they are used; "process" alone would be too wide. */
const homes: readonly { readonly use: string; readonly home: RegExp }[] = [
  "Date.now",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "AbortSignal.timeout",
  "Math.random",
  "crypto",
  "process.hrtime",
  "process.uptime",
]
  .map((use) => ({ use, home: timeAndChance }))
  .concat(["process.env", "process.argv"].map((use) => ({ use, home: environment })));

/** Of node:crypto everything is chance but what computes from its input. */
const repeatableCrypto = /^(?:createHash|createHmac|timingSafeEqual|getHashes|hash|Hash|Hmac|BinaryLike)$/;
const vagueNames = /^(?:utils?|helpers?|types|index|misc|common)\.[cm]?tsx?$/;

/** Everything to say against a file of src; `path` is from the root of the repository, with forward slashes. */
export function findings(path: string, text: string): Finding[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: Finding[] = [];
  const say = (message: string, node?: ts.Node): void => {
    const line = node ? source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 : 0;
    found.push({ line, message });
  };
  const lines = text.trimEnd().split("\n").length;
  if (lines > fileLinesMax) say(`${lines} lines, more than ${fileLinesMax}`);
  if (vagueNames.test(basename(path))) say("the name says nothing about the concept inside");
  if (!hasFirstComment(text)) say("no first comment that says what the file is and promises");
  const visit = (node: ts.Node): void => {
    const use = useOf(node);
    if (use !== undefined && !use.home.test(path)) say(`${use.use} belongs to ${use.home.source}`, node);
    if (!timeAndChance.test(path)) for (const name of chanceImports(node)) say(`${name} is random: use Random`, node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function hasFirstComment(text: string): boolean {
  const start = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return /^\s*(?:\/\/|\/\*)/.test(text.slice(start));
}

/** The global that `node` uses, if it is one that has a home. */
function useOf(node: ts.Node): { use: string; home: RegExp } | undefined {
  if (isCurrentDate(node)) return { use: "the present Date", home: timeAndChance };
  const name = dottedName(node);
  if (name === undefined) return undefined;
  return homes.find(({ use }) => use === name);
}

/** `new Date()` and `Date()` read the clock; `new Date(ms)` does not. */
function isCurrentDate(node: ts.Node): boolean {
  if (ts.isNewExpression(node)) return dottedName(node.expression) === "Date" && (node.arguments?.length ?? 0) === 0;
  return ts.isCallExpression(node) && dottedName(node.expression) === "Date";
}

/** "Date.now" for Date.now, Date["now"] and globalThis.Date.now; undefined for what is no use of a global's name. */
function dottedName(node: ts.Node): string | undefined {
  if (ts.isIdentifier(node)) return isUse(node) ? node.text : undefined;
  const parts = memberOf(node);
  if (!parts) return undefined;
  const object = parts.object.kind === ts.SyntaxKind.ThisKeyword ? undefined : dottedName(parts.object);
  if (object === undefined) return undefined;
  return /^(?:globalThis|global|window|self)$/.test(object) ? parts.member : `${object}.${parts.member}`;
}

function memberOf(node: ts.Node): { object: ts.Expression; member: string } | undefined {
  if (ts.isPropertyAccessExpression(node)) return { object: node.expression, member: node.name.text };
  if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) {
    return { object: node.expression, member: node.argumentExpression.text };
  }
  return undefined;
}

/** Not a use: the name of a member, of a declaration, or of a type. */
function isUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.name !== node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isBindingElement(parent)) return parent.initializer === node;
  if (ts.isVariableDeclaration(parent) || ts.isParameter(parent)) return parent.initializer === node;
  if (ts.isPropertyDeclaration(parent)) return parent.initializer === node;
  if (ts.isFunctionLike(parent) || ts.isClassLike(parent)) return !("name" in parent && parent.name === node);
  if (ts.isImportSpecifier(parent) || ts.isImportClause(parent) || ts.isNamespaceImport(parent)) return false;
  return !ts.isTypeNode(parent) && !ts.isTypeElement(parent) && !ts.isQualifiedName(parent);
}

/** The names that an import of node:crypto brings and that are not repeatable. */
function chanceImports(node: ts.Node): string[] {
  if (!ts.isImportDeclaration(node) || !ts.isStringLiteral(node.moduleSpecifier)) return [];
  if (!/^(?:node:)?crypto$/.test(node.moduleSpecifier.text)) return [];
  const bindings = node.importClause?.namedBindings;
  if (!bindings || !ts.isNamedImports(bindings) || node.importClause?.name) return ["the whole of node:crypto"];
  return bindings.elements
    .map((element) => (element.propertyName ?? element.name).text)
    .filter((name) => !repeatableCrypto.test(name));
}
