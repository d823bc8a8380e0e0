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
  const headers = { authorization: `Bearer ${apiKey}` };
  const get = async (path: string) => readAnswer(await call(`${apiUrl}${path}`, { headers }), path);
  return {
    async createDeposit(order) {
      const path = '/v1/deposits';
      const answer = await call(`${apiUrl}${path}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(order),
      });
      return deposit.parse(await readAnswer(answer, path));
    },
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
      const answer = await call(`${apiUrl}/v1/deposits?limit=1`, { headers });
      await answer.arrayBuffer();
      return answer.status !== 401;
    },
  };
}

/** Pays an order as its customer does, through the sandbox's control API. */
export async function payAtSandbox(sandboxUrl: string, controlToken: string, orderNumber: string): Promise<void> {
  const path = `/control/orders/${orderNumber}/pay`;
  const answer = await call(`${sandboxUrl}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${controlToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ immediately: true }),
  });
  await readAnswer(answer, path);
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
  const path = `/control/orders/${orderNumber}`;
  const answer = await call(`${sandboxUrl}${path}`, { headers: { authorization: `Bearer ${controlToken}` } });
  return orderAtSandbox.parse(await readAnswer(answer, path)).orders.flatMap(({ deliveries }) => deliveries);
}

const scenario = z.object({ name: z.string(), description: z.string() });

/** Lists the scenarios by name. */
export async function scenariosAtSandbox(sandboxUrl: string, controlToken: string) {
  const path = '/control/scenarios';
  const answer = await call(`${sandboxUrl}${path}`, { headers: { authorization: `Bearer ${controlToken}` } });
  return z.object({ scenarios: z.array(scenario) }).parse(await readAnswer(answer, path)).scenarios;
}

/** Arms a scenario for one order. Throws `UsageError` with all names if there is none of this name. */
export async function armAtSandbox(sandboxUrl: string, controlToken: string, name: string, orderNumber: string) {
  const names = (await scenariosAtSandbox(sandboxUrl, controlToken)).map((one) => one.name);
  if (!names.includes(name)) throw new UsageError(`There is no scenario ${JSON.stringify(name)}: ${names.join(', ')}`);
  const path = '/control/scenarios';
  const answer = await call(`${sandboxUrl}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${controlToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name, scope: orderNumber }),
  });
  return scenario.parse(await readAnswer(answer, path));
}

function call(url: string, init: RequestInit): Promise<Response> {
  return fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
}

async function readAnswer(answer: Response, path: string): Promise<unknown> {
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
