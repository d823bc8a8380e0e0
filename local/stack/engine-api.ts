/** The calls that the local stack makes to the engine's API and the sandbox's control API. */

import { z } from 'zod';
import { UsageError } from '../../config/command-line.ts';

/** The fields of a deposit that the local stack reads. */
const deposit = z.object({
  externalOrderNumber: z.string(),
  wallet: z.string(),
  state: z.string(),
  mtcAmount: z.string().nullable(),
  totalPrice: z.string().nullable(),
  currencyCode: z.string(),
  redirectUrl: z.string().nullable(),
  advertisementCode: z.string().nullable(),
  transactionCode: z.string().nullable(),
  creditedAmount: z.string().nullable(),
  attempts: z.object({ count: z.number() }),
  review: z.object({ reason: z.string() }).nullable(),
  otherPayments: z.array(z.object({ reason: z.string() })),
  workflowId: z.string(),
  webUi: z.string().nullable(),
});
export type Deposit = z.infer<typeof deposit>;

const wallet = z.object({
  wallet: z.string(),
  balance: z.string(),
  postings: z.array(z.object({ externalOrderNumber: z.string().nullable(), amount: z.string() })),
});
export type WalletView = z.infer<typeof wallet>;

const list = z.object({ items: z.array(deposit), nextCursor: z.string().nullable() });

const reviewCase = z.object({ id: z.string(), reason: z.string(), externalOrderNumber: z.string() });
const caseList = z.object({ items: z.array(reviewCase), nextCursor: z.string().nullable() });
export type Case = z.infer<typeof reviewCase>;

/** The engine or the sandbox returned an unexpected response. */
export class UnexpectedAnswerError extends Error {
  override name = 'UnexpectedAnswerError';
}

export type NewDeposit = {
  readonly externalOrderNumber: string;
  readonly wallet: string;
  readonly buyCoinMode: 'MtcAmount';
  readonly mtcAmount: string;
  readonly currencyCode: string;
  readonly supportLanguage: string;
  readonly payerRealName: string;
};

export type EngineApi = {
  createDeposit(order: NewDeposit): Promise<Deposit>;
  readDeposit(externalOrderNumber: string): Promise<Deposit>;
  /** Returns at most 100 deposits of a state. */
  listDeposits(state: string): Promise<Deposit[]>;
  readWallet(wallet: string): Promise<WalletView>;
  /** Returns the open cases of an order number, oldest first. */
  openCases(externalOrderNumber: string): Promise<Case[]>;
  /** Whether the engine knows the key. */
  knowsKey(): Promise<boolean>;
};

const TIMEOUT_MS = 15_000;

/** Returns a client of the API with the given key. */
export function engineApi(apiUrl: string, apiKey: string): EngineApi {
  const get = (path: string) => ask(apiUrl, apiKey, path);
  return {
    createDeposit: async (order) => deposit.parse(await ask(apiUrl, apiKey, '/v1/deposits', order)),
    readDeposit: async (number) => deposit.parse(await get(`/v1/deposits/${number}`)),
    listDeposits: async (state) => list.parse(await get(`/v1/deposits?state=${state}&limit=100`)).items,
    readWallet: async (name) => wallet.parse(await get(`/v1/wallets/${name}`)),
    async openCases(number) {
      const found: Case[] = [];
      for (let next: string | null = ''; next !== null; ) {
        const page = caseList.parse(await get(`/v1/reviews?limit=100${next === '' ? '' : `&cursor=${next}`}`));
        found.push(...page.items.filter(({ externalOrderNumber }) => externalOrderNumber === number));
        next = page.nextCursor;
      }
      return found;
    },
    async knowsKey() {
      const answer = await call(apiUrl, apiKey, '/v1/deposits?limit=1');
      await answer.arrayBuffer();
      return answer.status !== 401;
    },
  };
}

/** Pays an order as its customer does, through the sandbox's control API. */
export async function payAtSandbox(sandboxUrl: string, controlToken: string, orderNumber: string): Promise<void> {
  await ask(sandboxUrl, controlToken, `/control/orders/${orderNumber}/pay`, { immediately: true });
}

const orderAtSandbox = z.object({
  orders: z.array(
    z.object({
      deliveries: z.array(
        z.object({ state: z.string(), attempts: z.array(z.object({ problem: z.string().nullable() })) }),
      ),
    }),
  ),
});

/** Reads the callbacks of an order from the sandbox; `problem` states why an attempt was not acknowledged. */
export async function deliveriesAtSandbox(sandboxUrl: string, controlToken: string, orderNumber: string) {
  const order = orderAtSandbox.parse(await ask(sandboxUrl, controlToken, `/control/orders/${orderNumber}`));
  return order.orders.flatMap(({ deliveries }) => deliveries);
}

const scenario = z.object({ name: z.string(), description: z.string() });

/** Lists the scenarios by name. */
export async function scenariosAtSandbox(sandboxUrl: string, controlToken: string) {
  const found = await ask(sandboxUrl, controlToken, '/control/scenarios');
  return z.object({ scenarios: z.array(scenario) }).parse(found).scenarios;
}

/** Arms a scenario for one order. Throws `UsageError` with all names if there is none of this name. */
export async function armAtSandbox(sandboxUrl: string, controlToken: string, name: string, orderNumber: string) {
  const names = (await scenariosAtSandbox(sandboxUrl, controlToken)).map((one) => one.name);
  if (!names.includes(name)) throw new UsageError(`There is no scenario ${JSON.stringify(name)}: ${names.join(', ')}`);
  return scenario.parse(await ask(sandboxUrl, controlToken, '/control/scenarios', { name, scope: orderNumber }));
}

/** A GET, or a POST of the body. */
const call = (url: string, token: string, path: string, body?: unknown): Promise<Response> =>
  fetch(`${url}${path}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });

async function ask(url: string, token: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await call(url, token, path, body);
  const text = await answer.text();
  if (answer.ok) return text === '' ? null : JSON.parse(text);
  throw new UnexpectedAnswerError(`${path} answers ${answer.status}: ${wordsOf(text)}`);
}

const refusal = z.union([
  z.object({ code: z.string(), detail: z.string() }).transform(({ code, detail }) => `${code}, ${detail}`),
  z.object({ error: z.string() }).transform(({ error }) => error),
]);

/** The words of the engine's or the sandbox's refusal; of any other body its beginning. */
function wordsOf(text: string): string {
  try {
    return refusal.parse(JSON.parse(text));
  } catch {
    return text.slice(0, 500);
  }
}
