// /docs: the routes and the table of codes as one page that loads nothing from anywhere. The `type` of a problem links to a row of it.

import { errorCodes } from "../protocol/error-codes.ts";
import { problemStatuses } from "./openapi.ts";
import type { Route } from "./route.ts";

const style = `
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.75rem;overflow-x:auto;border-radius:.4rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer} summary b{display:inline-block;min-width:4.5rem}
tr:target{background:#fd08}
`;

const example = `curl --json '{"name":"orders","partitionCount":4}' $BROKER/v1/topics
curl --json '{"records":[{"key":"a","value":{"n":1}}]}' $BROKER/v1/topics/orders/records
curl "$BROKER/v1/topics/orders/records"
curl -N -H 'accept: text/event-stream' "$BROKER/v1/topics/orders/records?offset=latest"
curl --json '{"topics":["orders"],"waitMs":5000}' $BROKER/v1/groups/billing/members/worker-1/poll`;

export function docsPage(routes: readonly Route[], version: string): string {
  const tags = [...new Set(routes.map(({ tag }) => tag))];
  const sections = tags.map(
    (tag) =>
      `<h2>${escapeHtml(tag)}</h2>\n${routes
        .filter((route) => route.tag === tag)
        .map(routeSection)
        .join("\n")}`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Millrace ${escapeHtml(version)}</title><style>${style}</style></head><body>
<h1>Millrace ${escapeHtml(version)}</h1>
<p>A durable message log over HTTP. The same for machines: <a href="/openapi.json">/openapi.json</a>.</p>
<pre>${escapeHtml(example)}</pre>
${sections.join("\n")}
<h2 id="errors">Error codes</h2>
<p>A refusal is a problem (RFC 9457) with one of these codes. <code>retriable</code> says that trying again can succeed, not that it
cannot duplicate; a produce says with <code>maybeAppended</code> whether it may be in the log, and is 504 if it may.</p>
<table><thead><tr><th>code</th><th>status</th><th>Kafka's number</th><th>retriable</th><th>meaning</th></tr></thead><tbody>
${codeRows()}
</tbody></table>
</body></html>
`;
}

function routeSection(route: Route): string {
  const parameters = [
    ...Object.entries(route.query ?? {}).map(([name, { description }]) => [`?${name}`, description] as const),
    ...Object.entries(route.requestHeaders ?? {}).map(([name, { description }]) => [name, description] as const),
    ...Object.keys(route.body ?? {}).map((mediaType) => ["body", mediaType] as const),
    ...Object.entries(route.answers).map(([status, { description }]) => [status, description] as const),
    ...[...problemStatuses(route)].map(([status, codes]) => [String(status), codes.join(", ")] as const),
  ];
  const rows = parameters.map(
    ([name, text]) => `<tr><td><code>${escapeHtml(name)}</code></td><td>${escapeHtml(text)}</td></tr>`,
  );
  const path = route.path.replaceAll(/:([a-zA-Z]+)/g, "{$1}");
  const description = route.description === undefined ? "" : `<p>${escapeHtml(route.description)}</p>`;
  return `<details id="${route.operationId}"><summary><b>${route.method}</b> <code>${escapeHtml(path)}</code> ${escapeHtml(route.summary)}</summary>
${description}<table><tbody>${rows.join("")}</tbody></table></details>`;
}

function codeRows(): string {
  return Object.entries(errorCodes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { id, retriable, httpStatus, title }]) => {
      const cells = [`<code>${code}</code>`, httpStatus, id ?? "", retriable ? "yes" : "no", escapeHtml(title)];
      return `<tr id="${code}">${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
    })
    .join("\n");
}

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
