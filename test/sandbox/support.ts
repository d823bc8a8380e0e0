import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll } from 'vitest';
import { loadSandboxConfig } from '../../sandbox/config.ts';
import type { LoggedEvent } from '../../sandbox/event-log.ts';
import type { DeliveryView } from '../../sandbox/orders/order-view.ts';
import { asAdmin, required } from '../support/database.ts';
import { PLACEMENT_PATH, type Sandbox, startSandbox } from '../../sandbox/server.ts';

export const ACCESS_KEY = 'access-key-of-the-tests-00000000';
export const SECRET_KEY = 'secret-key-of-the-tests-00000000';
/** Tests that are not about TLS do without it. */
export const PLAIN = { SANDBOX_TLS: 'off', SANDBOX_ALLOW_PLAIN_HTTP: 'loopback' } as const;
export const CONTROL_TOKEN = 'control-token-of-the-tests';

const admin = async (sql: string): Promise<string> => {
  const url = required('TEST_POSTGRES_URL');
  await asAdmin(url, sql);
  return url;
};

/** An empty database for one test file, dropped when the file is done. Returns its URL. */
export async function createDatabase(): Promise<string> {
  const name = `sandbox_test_${randomBytes(6).toString('hex')}`;
  const url = new URL(await admin(`CREATE DATABASE ${name}`));
  url.pathname = `/${name}`;
  afterAll(() => admin(`DROP DATABASE ${name} WITH (FORCE)`));
  return url.href;
}

/** A sandbox in this process, stopped when the file is done. `env` adds to or replaces variables. */
export async function start(databaseUrl: string, env: Record<string, string> = {}): Promise<Sandbox> {
  const sandbox = await startSandbox(
    loadSandboxConfig({
      SANDBOX_LISTEN: '127.0.0.1:0',
      ...PLAIN,
      DATABASE_URL: databaseUrl,
      SANDBOX_ACCESS_KEY: ACCESS_KEY,
      SANDBOX_SECRET_KEY: SECRET_KEY,
      SANDBOX_CONTROL_TOKEN: CONTROL_TOKEN,
      SANDBOX_LOG_LEVEL: 'silent',
      ...env,
    }),
  );
  afterAll(() => sandbox.close());
  return sandbox;
}

/** A sandbox with an empty database, and a merchant; stopped when the file is done. */
export async function openSandbox(env: Record<string, string> = {}) {
  const [merchant, databaseUrl] = [await startMerchant(), await createDatabase()];
  return { merchant, databaseUrl, sandbox: await start(databaseUrl, env) };
}

/** Polls until `read` returns something other than undefined. The test's own timeout is the only deadline. */
export async function eventually<T>(read: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (let pauseMs = 5; ; pauseMs = Math.min(100, pauseMs * 1.5)) {
    const value = await read();
    if (value !== undefined) return value;
    await sleep(pauseMs);
  }
}

export interface Callback {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
export interface MerchantAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Breaks the connection instead. */
  readonly destroy?: boolean;
  /** Never responds. */
  readonly silent?: boolean;
}

export const SUCCESS: MerchantAnswer = { headers: { 'content-type': 'text/plain' }, body: 'SUCCESS' };

/** A merchant's callback endpoint that records its requests. */
export interface Merchant {
  readonly url: string;
  readonly callbacks: Callback[];
  /** The response to the next callbacks. */
  answer: (callback: Callback) => MerchantAnswer | Promise<MerchantAnswer>;
  /** The callbacks for one order, once there are at least `count`. */
  received(externalOrderNumber: string, count?: number): Promise<Callback[]>;
}

export async function startMerchant(): Promise<Merchant> {
  const callbacks: Callback[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const callback = { path: request.url!, headers: request.headers, body: Buffer.concat(chunks).toString('utf8') };
      callbacks.push(callback);
      void Promise.resolve(merchant.answer(callback)).then((answer) => {
        if (answer.silent === true) return;
        if (answer.destroy === true) response.destroy();
        else response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
      });
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const merchant: Merchant = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`,
    callbacks,
    answer: () => SUCCESS,
    received: (externalOrderNumber, count = 1) =>
      eventually(() => {
        const own = callbacks.filter((callback) => callback.body.includes(`"${externalOrderNumber}"`));
        return own.length >= count ? own : undefined;
      }),
  };
  return merchant;
}

/** A merchant's signature, computed here and not by the code under test. */
export const signed = (timestamp: string, secret = SECRET_KEY): string =>
  createHmac('sha256', secret).update(`${ACCESS_KEY}_${timestamp}`).digest('hex').toUpperCase();

let numbers = 0;
export const newNumber = (): string => `order-${randomBytes(4).toString('hex')}-${(numbers += 1)}`;

/** The body of a placement: raw JSON texts by member; undefined leaves one out. */
export function placementBody(merchant: Merchant, members: Record<string, string | undefined> = {}): string {
  const all: Record<string, string | undefined> = {
    buyCoinMode: '"MtcAmount"',
    mtcAmount: '5000',
    externalOrderNumber: `"${newNumber()}"`,
    callbackUrl: `"${merchant.url}"`,
    supportLanguage: '"en"',
    currencyCode: '"CNY"',
    payerRealName: '"Wang Xiaoming"',
    ...members,
  };
  const given = Object.entries(all).filter(([, raw]) => raw !== undefined);
  return `{${given.map(([name, raw]) => `"${name}":${raw}`).join(',')}}`;
}

export interface Placed {
  readonly httpStatus: number;
  readonly headers: Headers;
  readonly text: string;
  readonly statusCode: string;
  readonly message: string;
  readonly success: boolean;
  readonly data: { redirectUrl: string; advertisementCode: string; currentTimestamp: number } | null;
}

/** Sends a placement, regularly signed unless `headers` says otherwise; rejects if the connection breaks. */
export async function send(sandbox: Sandbox, body: string, headers: Record<string, string> = {}): Promise<Placed> {
  const timestamp = headers['timestamp'] ?? String(Date.now());
  const response = await fetch(`${sandbox.url}${PLACEMENT_PATH}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      access_key: ACCESS_KEY,
      timestamp,
      signature: signed(timestamp),
      ...headers,
    },
    body,
  });
  const text = await response.text();
  const content = (text.startsWith('{') && text.endsWith('}') ? JSON.parse(text) : {}) as Omit<Placed, 'text'>;
  return { ...content, httpStatus: response.status, headers: response.headers, text };
}

/** Places an order of `mtcAmount` 5000 under a new number, which it returns. */
export async function place(sandbox: Sandbox, merchant: Merchant, number = newNumber()): Promise<string> {
  const placed = await send(sandbox, placementBody(merchant, { externalOrderNumber: JSON.stringify(number) }));
  if (!placed.success) throw new Error(`not placed: ${placed.text}`);
  return number;
}

export interface OrderView {
  readonly id: number;
  readonly nth: number;
  readonly token: string;
  readonly state: string;
  readonly mtcAmount: string;
  readonly totalPrice: string;
  readonly unitPrice: string;
  readonly transactions: { transactionCode: string; transactionAmount: string; paymentPrice: string }[];
  readonly deliveries: DeliveryView[];
}

export interface ControlAnswer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the endpoint answers
  readonly body: any;
}

/** Calls the control API. */
export async function control(sandbox: Sandbox, method: string, path: string, body?: unknown): Promise<ControlAnswer> {
  const response = await fetch(`${sandbox.url}/control${path}`, {
    method,
    headers: { authorization: `Bearer ${CONTROL_TOKEN}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/** The orders made for a number; none if there is none. */
export async function orders(sandbox: Sandbox, number: string): Promise<OrderView[]> {
  return ((await control(sandbox, 'GET', `/orders/${number}`)).body.orders ?? []) as OrderView[];
}

/** The payer pays and the seller releases at once. */
export async function pay(sandbox: Sandbox, number: string): Promise<void> {
  const { status, body } = await control(sandbox, 'POST', `/orders/${encodeURIComponent(number)}/pay`, {
    immediately: true,
  });
  if (status !== 200) throw new Error(`not paid: ${JSON.stringify(body)}`);
}

export async function fault(
  sandbox: Sandbox,
  scope: string,
  kind: string,
  params: object = {},
  remaining: number | null = 1,
): Promise<number> {
  const { status, body } = await control(sandbox, 'POST', '/faults', { scope, kind, params, remaining });
  if (status !== 201) throw new Error(`fault refused: ${JSON.stringify(body)}`);
  return body.id as number;
}

/** All log events of one order number. */
export async function logOf(sandbox: Sandbox, number: string): Promise<LoggedEvent[]> {
  const { body } = await control(sandbox, 'GET', '/log?limit=10000');
  return (body.events as LoggedEvent[]).filter((event) => event.externalOrderNumber === number);
}

/** The order's deliveries once all of them have come to an end. */
export async function settled(sandbox: Sandbox, number: string): Promise<DeliveryView[]> {
  return eventually(async () => {
    const deliveries = (await orders(sandbox, number)).flatMap((order) => order.deliveries);
    return deliveries.length > 0 && deliveries.every((delivery) => delivery.state !== 'PENDING')
      ? deliveries
      : undefined;
  });
}
