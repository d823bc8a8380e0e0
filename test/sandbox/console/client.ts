import pg from 'pg';
import type { Sandbox } from '../../../sandbox/server.ts';
import { control, openSandbox, orders } from '../support.ts';

export const CONSOLE_PASSWORD = 'console-password-of-the-tests';
/** No order is released by itself. */
export const CONSOLE_ENV = {
  SANDBOX_CONSOLE_PASSWORD: CONSOLE_PASSWORD,
  SANDBOX_AUTO_RELEASE: 'no',
  SANDBOX_RELEASE_DELAY: '0s',
};

export interface Shown {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A user logged in at the console, without a browser. */
export interface ConsoleClient {
  readonly cookie: string;
  readonly formToken: string;
  get(path: string): Promise<Shown>;
  /** Sends a form as the console's own page would; does not follow the redirect. */
  post(path: string, fields?: Readonly<Record<string, string>>): Promise<Shown>;
}

export async function request(sandbox: Sandbox, path: string, init: RequestInit = {}): Promise<Shown> {
  const response = await fetch(`${sandbox.url}${path}`, { redirect: 'manual', ...init });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

export const tryPassword = (sandbox: Sandbox, password: string, headers: Record<string, string> = {}): Promise<Shown> =>
  request(sandbox, '/console/login', { method: 'POST', headers, body: new URLSearchParams({ password }) });

export async function logIn(sandbox: Sandbox, password = CONSOLE_PASSWORD): Promise<ConsoleClient> {
  const answer = await tryPassword(sandbox, password);
  if (answer.status !== 303) throw new Error(`not logged in: ${answer.status}`);
  const cookie = answer.headers.getSetCookie()[0]!.split(';')[0]!;
  const get = (path: string): Promise<Shown> => request(sandbox, path, { headers: { cookie } });
  const formToken = /name="formToken" value="([0-9a-f]{64})"/.exec((await get('/console')).text)![1]!;
  return {
    cookie,
    formToken,
    get,
    post: (path, fields = {}) =>
      request(sandbox, path, {
        method: 'POST',
        headers: { cookie },
        body: new URLSearchParams({ formToken, ...fields }),
      }),
  };
}

const unescape = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => {
    const characters: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
    return characters[name]!;
  });

/** The fields of a form as a browser would send them untouched. */
export function fieldsOf(form: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [, name, value] of form.matchAll(/<input type="\w+"\s+name="([^"]+)" value="([^"]*)"/g)) {
    fields[unescape(name!)] = unescape(value!);
  }
  for (const [, name, text] of form.matchAll(/<textarea name="([^"]+)"[^>]*>\n([^<]*)<\/textarea>/g)) {
    fields[unescape(name!)] = unescape(text!);
  }
  for (const [, name, options] of form.matchAll(/<select name="([^"]+)">(.*?)<\/select>/gs)) {
    const chosen = /value="([^"]*)" selected/.exec(options!) ?? /value="([^"]*)"/.exec(options!);
    fields[unescape(name!)] = unescape(chosen![1]!);
  }
  return fields;
}

/** Every form of a page that posts to `action`. */
export const formsTo = (page: string, action: string): string[] =>
  [...page.matchAll(/<form method="post" action="([^"]+)"[^>]*>(.*?)<\/form>/gs)]
    .filter(([, to]) => to === action)
    .map(([, , content]) => content!);

/** A sandbox with a user logged in at its console, and a merchant who accepts its callbacks. */
export async function startConsole() {
  const { databaseUrl, merchant, sandbox } = await openSandbox(CONSOLE_ENV);
  return {
    databaseUrl,
    merchant,
    sandbox,
    client: await logIn(sandbox),
    idOf: async (number: string): Promise<number> => (await orders(sandbox, number))[0]!.id,
    settings: async (): Promise<Record<string, unknown>> =>
      (await control(sandbox, 'GET', '/settings')).body as Record<string, unknown>,
    inDatabase: <T extends pg.QueryResultRow>(sql: string, url = databaseUrl): Promise<T[]> => inDatabase(url, sql),
  };
}

async function inDatabase<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const database = new pg.Client({ connectionString: url });
  await database.connect();
  try {
    return (await database.query<T>(sql)).rows;
  } finally {
    await database.end();
  }
}
