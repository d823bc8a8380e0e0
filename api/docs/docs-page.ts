import { type ErrorCode, HTTP } from '../../contract/errors.ts';
import { ANSWERS, codesOf, PROBLEMS } from '../../contract/problems.ts';
import { html, type Html, type HtmlPart } from '../../encoding/html.ts';

/** The OpenAPI document as a page, without scripts and without requests to other machines. */

// oxlint-disable-next-line typescript/no-explicit-any -- a JSON document
type Node = any;

export function docsPage(document: Node): string {
  const operations = Object.entries<Node>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Node>(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
  );
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${document.info.title}: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<header>
<h1>${document.info.title}: API</h1>
<p>${spans(document.info.description)}</p>
<p>Authentication: <code>Authorization: Bearer &lt;api key&gt;</code>. ${document.components.securitySchemes.apiKey.description}</p>
<p><a href="/openapi.json">This document as OpenAPI ${document.openapi}</a></p>
</header>
<nav aria-label="Contents">
<h2>Contents</h2>
<ul>
${operations.map((one) => html`<li><a href="#${one.operationId}"><code>${one.method} ${one.path}</code></a> ${one.summary}</li>\n`)}
<li><a href="#notifications">Notifications</a></li>
<li><a href="#errors">Errors</a></li>
<li><a href="#schemas">Schemas</a></li>
</ul>
</nav>
<main>
${operations.map((one) => showOperation(document, one))}
${showWebhooks(document)}
${showErrors()}
${showSchemas(document)}
</main>
</body>
</html>
`;
  return page.text;
}

function showOperation(document: Node, one: Node): Html {
  const scopes: string[] = one.security.map((way: Node) => way.apiKey[0]);
  const body = one.requestBody?.content['application/json'].schema;
  return html`<section id="${one.operationId}" aria-labelledby="${one.operationId}-title">
<h2 id="${one.operationId}-title">${one.summary}</h2>
<p class="address"><span class="method">${one.method}</span> <code>${one.path}</code></p>
${one.description === undefined ? null : html`<p>${spans(one.description)}</p>`}
<p>${scopes.length === 0 ? 'No key is asked for.' : 'Scope: '}${scopes.map((scope, at) => html`${at === 0 ? '' : ' or '}<code>${scope}</code>`)}</p>
${one.parameters === undefined ? null : html`<h3>Parameters</h3>${fieldTable(`Parameters of ${one.operationId}`, one.parameters.map(parameterRow))}`}
${body === undefined ? null : html`<h3>Body</h3><p>${typeName(body)}, as <code>application/json</code></p>${examplesOf(resolve(document, body))}`}
<h3>Example</h3>
<pre tabindex="0" aria-label="Example of ${one.operationId}"><code>${one['x-codeSamples'][0].source}</code></pre>
<h3>Answers</h3>
<dl class="answers">
${Object.entries<Node>(one.responses).map(([status, response]) => showAnswer(document, status, response))}
</dl>
</section>
`;
}

const parameterRow = (parameter: Node): Row => ({
  name: parameter.name,
  schema: parameter.schema,
  required: parameter.required,
  note: `In the ${parameter.in}.`,
  description: parameter.description,
});

function showAnswer(document: Node, status: string, given: Node): Html {
  const response = resolve(document, given);
  if (given.$ref !== undefined) {
    const code = String(given.$ref).split('/').at(-1)!;
    return html`<dt><code>${status}</code> <a href="#error-${code}"><code>${code}</code></a></dt><dd>${spans(response.description)}</dd>\n`;
  }
  if (response.content === undefined)
    return html`<dt><code>${status}</code></dt><dd>${spans(response.description)} <span class="type">without a body</span></dd>\n`;
  const [type, content] = Object.entries<Node>(response.content)[0]!;
  return html`<dt><code>${status}</code> ${typeName(content.schema)}</dt><dd>${spans(response.description)} <span class="type">${type}</span>
${content.example === undefined ? null : example(content.example)}</dd>
`;
}

const showWebhooks = (document: Node): Html => {
  const all = Object.values<Node>(document.webhooks).map((one) => one.post);
  const [{ parameters, responses }] = all;
  return html`<section id="notifications" aria-labelledby="notifications-title">
<h2 id="notifications-title">Notifications</h2>
<p>Messages to an endpoint of yours, as <code>POST</code>. Each type has its own body.</p>
<h3>Headers</h3>${fieldTable('Headers of a notification', parameters.map(parameterRow))}
<h3>Your answer</h3>
<dl class="answers">
${Object.entries<Node>(responses).map(([status, { description }]) => html`<dt><code>${status}</code></dt><dd>${spans(description)}</dd>\n`)}
</dl>
<h3>Types</h3>
<dl class="answers">
${all.map((one) => {
  const { schema, example: value } = one.requestBody.content['application/json'];
  return html`<dt id="${one.operationId}"><code>${one.summary}</code> ${typeName(schema)}</dt><dd>${spans(one.description)}${example(value)}</dd>\n`;
})}
</dl>
</section>
`;
};

const showErrors = (): Html => html`<section id="errors" aria-labelledby="errors-title">
<h2 id="errors-title">Errors</h2>
<p>Every refusal is a <a href="#schema-Problem">Problem</a>, as <code>application/problem+json</code>; its <code>type</code> leads here.</p>
${explained(Object.keys(ANSWERS))}
<h3>No order: codes of 422</h3>
${explained(codesOf('refused'))}
<h3>A step not taken: codes of 409</h3>
${explained(codesOf('decision_refused'))}
</section>
`;

const explained = (codes: readonly string[]): Html => html`<dl class="answers">
${codes.map((code) => {
  const { meaning, remedy } = PROBLEMS[code]!;
  const status = HTTP[code as ErrorCode]?.status;
  return html`<dt id="error-${code}">${status === undefined ? null : html`<code>${status}</code> `}<code>${code}</code></dt><dd>${spans(meaning)}${remedy === undefined ? null : html` ${spans(remedy)}`}</dd>\n`;
})}
</dl>
`;

/** Text in which backticks enclose code. */
const spans = (text: string): Html =>
  html`${text.split('`').map((part, at) => (at % 2 === 0 ? html`${part}` : html`<code>${part}</code>`))}`;

const showSchemas = (document: Node): Html => html`<section id="schemas" aria-labelledby="schemas-title">
<h2 id="schemas-title">Schemas</h2>
${Object.entries<Node>(document.components.schemas).map(([name, schema]) => showSchema(name, schema))}
</section>
`;

function showSchema(name: string, schema: Node): Html {
  const rows = propertyRows(schema, '');
  return html`<h3 id="schema-${name}">${name}</h3>
${schema.description === undefined ? null : html`<p>${spans(schema.description)}</p>`}
${rows.length > 0 ? fieldTable(`Fields of ${name}`, rows) : html`<p>${typeName(schema)}</p>`}
${examplesOf(schema)}
`;
}

/** Nested fields have rows of their own, with dotted names. */
function propertyRows(schema: Node, prefix: string): Row[] {
  return Object.entries<Node>(schema.properties ?? {}).flatMap(([name, field]) => {
    const inner = [field, ...(field.anyOf ?? [])].find(
      (one) => one.properties !== undefined || one.items?.properties !== undefined,
    );
    const row = {
      name: prefix + name,
      schema: field,
      required: (schema.required ?? []).includes(name),
      note: null,
      description: field.description,
    };
    if (inner === undefined) return [row];
    const isList = inner.items !== undefined;
    return [row, ...propertyRows(isList ? inner.items : inner, `${prefix}${name}${isList ? '[]' : ''}.`)];
  });
}

interface Row {
  readonly name: string;
  readonly schema: Node;
  readonly required: boolean;
  readonly note: string | null;
  readonly description: string | undefined;
}

const fieldTable = (
  label: string,
  rows: readonly Row[],
): Html => html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead>
<tbody>
${rows.map((row) => html`<tr><th scope="row"><code>${row.name}</code>${row.required ? null : html` <span class="type">optional</span>`}</th><td>${typeName(row.schema)}</td><td>${row.note}${row.note === null ? null : ' '}${row.description === undefined ? null : spans(row.description)}${limits(row.schema)}</td></tr>\n`)}
</tbody>
</table>
</div>
`;

function typeName(schema: Node): Html {
  if (schema.$ref !== undefined) {
    const name = String(schema.$ref).split('/').at(-1)!;
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) {
    return html`${choices.map((one: Node, at: number) => html`${at === 0 ? '' : ' or '}${typeName(one)}`)}`;
  }
  if (schema.type === 'array') return html`list of ${typeName(schema.items)}`;
  return html`${schema.format ?? schema.type ?? 'any'}`;
}

/** The constraints on a value, for writers of requests. */
function limits(schema: Node): Html | null {
  const one = schema.anyOf?.[0] ?? schema;
  const said: HtmlPart[] = [];
  if (one.enum !== undefined)
    said.push(
      html`One of ${one.enum.map((value: string, at: number) => html`${at === 0 ? '' : ', '}<code>${value}</code>`)}.`,
    );
  if (one.const !== undefined) said.push(html`Always <code>${one.const}</code>.`);
  if (
    one.minimum !== undefined &&
    one.maximum !== undefined &&
    Number.isSafeInteger(one.maximum) &&
    one.maximum < 1e9
  ) {
    said.push(html`${one.minimum} to ${one.maximum}.`);
  }
  if (one.default !== undefined) said.push(html`Default <code>${one.default}</code>.`);
  if (one.pattern !== undefined && one.pattern.length <= 40) said.push(html`Pattern <code>${one.pattern}</code>`);
  return said.length === 0 ? null : html`<br>${said.map((part) => html`${part} `)}`;
}

const examplesOf = (schema: Node): Html => html`${(schema.examples ?? []).map((value: unknown) => example(value))}`;

const example = (value: unknown): Html =>
  html`<pre tabindex="0" aria-label="Example"><code>${JSON.stringify(value, null, 2)}</code></pre>`;

function resolve(document: Node, node: Node): Node {
  if (node.$ref === undefined) return node;
  return String(node.$ref)
    .split('/')
    .slice(1)
    .reduce((at, step) => at[step], document);
}

export const docsStyle = `:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 0; } h3 { font-size: 1.05rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1.5rem; }
code, pre { font: 0.9em/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border: 1px solid var(--line); overflow-x: auto; padding: 0.75rem; overflow-wrap: normal; }
.address { font-size: 1.1rem; } .method { font-weight: 700; } .type { opacity: 0.75; font-size: 0.9em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 34rem; }
th, td { border-bottom: 1px solid var(--line); padding: 0.4rem 0.8rem 0.4rem 0; text-align: left; vertical-align: top; overflow-wrap: normal; }
th[scope="row"] { font-weight: 400; } tbody td:last-child { overflow-wrap: anywhere; }
dt { margin-top: 0.8rem; font-weight: 600; } dd { margin-left: 1rem; }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid currentColor; outline-offset: 2px; }
`;
