import type { Request, Response } from 'express';
import { Html, html, type Part } from '../html.ts';
import { shownName } from './requests.ts';
import type { Session } from './login/sessions.ts';

/** The console's pages, in the order of the menu. */
const MENU: readonly (readonly [path: string, name: string])[] = [
  ['/console', 'Overview'],
  ['/console/orders', 'Orders'],
  ['/console/deliveries', 'Callbacks'],
  ['/console/advertisements', 'Advertisements'],
  ['/console/fees', 'Fees'],
  ['/console/tokens', 'API tokens'],
  ['/console/account', 'Account'],
  ['/console/faults', 'Misbehaviour'],
  ['/console/settings', 'Settings'],
  ['/console/statement', 'Statement'],
  ['/console/events', 'Event log'],
];

/** Sentences after a successful form, by the URL's `done`: fixed sentences, never text from outside. */
const DONE: Readonly<Record<string, string>> = {
  saved: 'Saved.',
  paid: 'The customer has paid. The seller’s release follows.',
  paidAgain: 'The customer has paid once more: a second transaction of this order.',
  released: 'The seller has released the currency. The callback is on its way.',
  cancelled: 'The order is cancelled.',
  retried: 'The callback is being sent.',
  armed: 'The misbehaviour is armed.',
  removed: 'Removed.',
  disabled: 'The key is disabled.',
  reset: 'Every setting has its configured value again.',
};

/** Returns the session that the guard found for the request. */
export const sessionOf = (response: Response): Session => response.locals['session'] as Session;

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** Shown instead of the sentence for the URL's `done`. */
  readonly problem?: string;
  readonly status?: number;
  /** Seconds until the page reloads. */
  readonly refreshSeconds?: number | null;
}

const document = (title: string, refresh: number | null, bodyClass: string, body: Html): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${refresh === null ? null : html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title} · MTPay sandbox</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="${bodyClass}">
<aside class="sandbox">Sandbox: no real money moves here.</aside>
${body}
</body>
</html>
`.text;

function menu(current: string): Html {
  const items = MENU.map(([path, name]) => {
    const isHere = path === '/console' ? current === path : current === path || current.startsWith(`${path}/`);
    return html`<li><a href="${path}"${isHere ? html` aria-current="page"` : null}>${name}</a></li>`;
  });
  return html`<nav class="menu" aria-label="Console"><ul>${items}</ul></nav>`;
}

function message(request: Request, problem: string | undefined): Html | null {
  if (problem !== undefined) return html`<p class="message bad" role="alert">${problem}</p>`;
  const done = request.query['done'];
  const text = typeof done === 'string' && Object.hasOwn(DONE, done) ? DONE[done]! : null;
  return text === null ? null : html`<p class="message" role="status">${text}</p>`;
}

/** Sends a page of the console to a logged-in person. */
export function show(request: Request, response: Response, page: Page): void {
  const path = request.originalUrl.replace(/[?#].*$/s, '').replace(/\/$/, '');
  const body = html`<header class="bar"><div><span class="brand">MTPay · Merchant console</span>
${form(response, '/console/logout', html`<button>Log out</button>`)}</div></header>
${menu(path)}
<main>
<h1>${page.title}</h1>
${message(request, page.problem)}
${page.body}
</main>`;
  response
    .status(page.status ?? 200)
    .type('html')
    .send(document(page.title, page.refreshSeconds ?? null, 'console', body));
}

/** There are no users; password managers need a name for the password. */
export const USERNAME = html`<input type="text" name="username" value="console" autocomplete="username" hidden>`;

/** Sends the login page, the only one without a session. `ahead` is the console path to open after the login. */
export function showLogin(response: Response, ahead: string, problem: string | null, status: number): void {
  const body = html`<header class="bar"><div><span class="brand">MTPay · Merchant console</span></div></header>
<main><div class="narrow card">
<h1>Log in</h1>
${problem === null ? null : html`<p class="message bad" role="alert">${problem}</p>`}
<form method="post" action="/console/login">
<input type="hidden" name="ahead" value="${ahead}">
${USERNAME}
<label class="field"><span>Password</span>
<input type="password" name="password" autocomplete="current-password" required autofocus></label>
<button class="main">Log in</button>
</form>
<p class="quiet">The password was printed when the sandbox started for the first time, or is SANDBOX_CONSOLE_PASSWORD.</p>
</div></main>`;
  response
    .status(status)
    .type('html')
    .send(document('Log in', null, 'console', body));
}

/** A form that changes something; its token proves that it is ours. */
export function form(response: Response, action: string, content: Html, className = ''): Html {
  return html`<form method="post" action="${action}"${className === '' ? null : html` class="${className}"`}>
<input type="hidden" name="formToken" value="${sessionOf(response).formToken}">${content}</form>`;
}

export interface FieldOptions {
  readonly note?: string;
  readonly type?: 'text' | 'number' | 'date' | 'password' | 'search';
  readonly required?: boolean;
  readonly readonly?: boolean;
  readonly mono?: boolean;
}

/** A hidden copy of a field's shown value, so that a later submit reveals whether a person edited the field. */
const asShown = (name: string, value: string): Html =>
  html`<input type="hidden" name="${shownName(name)}" value="${value}">`;

/** An input with its hidden copy, for pages that stay open while others may change the same values. */
export const remembered = (name: string, value: string, input: Html): Html => html`${asShown(name, value)}${input}`;

/** A labeled input. */
export function field(label: string, name: string, value: string, options: FieldOptions = {}): Html {
  const { note, type = 'text', required = false, readonly = false, mono = false } = options;
  const password = type === 'password' ? html` autocomplete="current-password"` : html` autocomplete="off"`;
  return html`<label class="field"><span>${label}</span>
<input type="${type}" name="${name}" value="${value}"${mono ? html` class="mono"` : null}${required ? html` required` : null}${readonly ? html` readonly` : null}${password}>
${note === undefined ? null : html`<small>${note}</small>`}</label>`;
}

export function area(label: string, name: string, value: string, note?: string): Html {
  // Browsers drop a line feed after the start tag; without this one, they would drop the value's own.
  return html`<label class="field"><span>${label}</span>
<textarea name="${name}" rows="3" class="mono" autocomplete="off" spellcheck="false">
${value}</textarea>
${note === undefined ? null : html`<small>${note}</small>`}</label>`;
}

/** A labeled list to choose from; options are `[value, text]`. */
export function select(
  label: string,
  name: string,
  options: readonly (readonly [value: string, text: string])[],
  chosen: string,
  note?: string,
): Html {
  const items = options.map(
    ([value, text]) => html`<option value="${value}"${value === chosen ? html` selected` : null}>${text}</option>`,
  );
  return html`<label class="field"><span>${label}</span><select name="${name}">${items}</select>
${note === undefined ? null : html`<small>${note}</small>`}</label>`;
}

export const badge = (text: string, tone: 'good' | 'bad' | 'warn' | '' = ''): Html =>
  html`<span class="badge ${tone}">${text}</span>`;

/** A moment in UTC, to the second; a dash for null. */
export function moment(at: Date | string | null): Html {
  if (at === null) return html`–`;
  const iso = typeof at === 'string' ? at : at.toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')}</time>`;
}

/** A table with column heads; `empty` is its text without rows. */
export function table(caption: string, heads: readonly string[], rows: readonly Html[], empty: string): Html {
  if (rows.length === 0) return html`<h2>${caption}</h2><p class="quiet">${empty}</p>`;
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<caption>${caption}</caption>
<thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${rows}
</tbody></table></div>`;
}

export const row = (cells: readonly Part[]): Html =>
  html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>
`;
