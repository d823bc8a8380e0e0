/** `npm run scenario`: plays one fault on one deposit of the running stack, from order to end, and prints each step. */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorSentence } from './servers/error-sentences.ts';
import { armAtSandbox, payAtSandbox, scenariosAtSandbox } from './stack/sandbox-api.ts';
import { dataDirectory } from './servers/paths.ts';
import { NoStackError, readLocalEnv } from './stack/local-env.ts';
import {
  createDepositClient,
  type Deposit,
  type DepositClient,
  DepositEngineError,
  type ReviewPage,
} from '../client/src/client.ts';
import { readArguments, UsageError } from '../config/command-line.ts';
import '../config/broken-pipe.ts';

const USAGE = `npm run scenario [-- NAME | --help]

Takes one deposit through a scenario of the sandbox, in the stack that npm start runs: arms it for a new order, orders,
pays, and tells what becomes of it. Without a NAME it lists the scenarios; the console has them too, one click each.`;

/** How long a deposit is watched after its payment; in some scenarios nothing happens. */
const WATCH_MS = 20_000;
const POLL_MS = 100;
const ended = new Set(['PLACEMENT_REFUSED', 'CREDITED', 'IN_REVIEW', 'REJECTED', 'UNPAID']);

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const options = { help: { type: 'boolean', short: 'h', default: false } } as const;
    const { values, positionals } = readArguments(args, options);
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    if (positionals.length > 1) throw new UsageError('One NAME at most');
    const stack = runningStack();
    if (positionals[0] === undefined) await list(stack);
    else await play(stack, positionals[0]);
    return 0;
  } catch (error) {
    const isMisuse = error instanceof UsageError;
    console.error(isMisuse ? `${error.message}.\n\n${USAGE}` : errorSentence(error));
    return isMisuse ? 2 : 1;
  }
}

type Stack = { readonly api: DepositClient; readonly sandboxUrl: string; readonly controlToken: string };

function runningStack(): Stack {
  const env = readLocalEnv(dataDirectory);
  const { API_URL, API_KEY, MTPAY_BASE_URL: sandboxUrl, SANDBOX_CONTROL_TOKEN: controlToken } = env;
  if (!sandboxUrl || !controlToken) {
    throw new NoStackError(
      'The stack places orders at MTPAY_BASE_URL, not at a sandbox: there is nothing to play with.',
    );
  }
  return { api: createDepositClient({ baseUrl: API_URL, apiKey: API_KEY }), sandboxUrl, controlToken };
}

async function list({ sandboxUrl, controlToken }: Stack): Promise<void> {
  for (const { name, description } of await scenariosAtSandbox(sandboxUrl, controlToken)) {
    console.log(`${name.padEnd(26)}  ${description}`);
  }
}

async function play({ api, sandboxUrl, controlToken }: Stack, name: string): Promise<void> {
  const number = `${name}-${randomBytes(4).toString('hex')}`;
  const since = performance.now();
  const tell = (text: string) =>
    console.log(`${((performance.now() - since) / 1000).toFixed(2).padStart(7)} s  ${text}`);
  tell(`${number}: ${(await armAtSandbox(sandboxUrl, controlToken, name, number)).description}`);
  const placed = await api.deposits
    .create({
      externalOrderNumber: number,
      wallet: 'wallet-scenario',
      buyCoinMode: 'MtcAmount',
      mtcAmount: '250',
      currencyCode: 'CNY',
      supportLanguage: 'en',
      payerRealName: 'Sample Payer',
    })
    .catch((error: unknown) => {
      // A refusal by MTPay is a result; the API reports it with its code.
      if (!(error instanceof DepositEngineError) || error.status !== 422) throw error;
      tell(error.message);
      return null;
    });
  if (placed === null) return;
  let deposit = placed;
  let told = '';
  let paid = false;
  const until = performance.now() + WATCH_MS + 30_000;
  for (let calm = performance.now() + WATCH_MS; performance.now() < Math.min(calm, until); ) {
    const now = inWords(deposit);
    if (now !== told) {
      tell(now);
      told = now;
      calm = performance.now() + (ended.has(deposit.state) ? 3_000 : WATCH_MS);
    }
    if (!paid && deposit.state !== 'PLACING') {
      paid = true;
      tell(await pay(sandboxUrl, controlToken, number));
    }
    await sleep(POLL_MS);
    deposit = await api.deposits.read(number);
  }
  tell(`Watched no longer. It is ${deposit.state}${deposit.webUi === null ? '' : `: ${deposit.webUi}`}`);
  const cases: ReviewPage['items'] = [];
  for await (const found of api.reviews.list({ limit: 200 }))
    if (found.externalOrderNumber === number) cases.push(found);
  for (const { id, reason } of cases) tell(`For people, ${reason}: case ${id}`);
  if (cases.length > 0) console.log(`\nset -a; . .data/local.env; set +a; npm run reviews -- show ${cases[0]!.id}`);
}

function inWords({ state, attempts, review, creditedAmount, otherPayments }: Deposit): string {
  const parts = [
    state,
    attempts.count === 0 ? null : `${attempts.count} callback(s)`,
    creditedAmount === null ? null : `${creditedAmount} MTC credited`,
    review === null ? null : `a case for people: ${review.reason}`,
    ...otherPayments.map(({ reason }) => `another payment waits for people: ${reason}`),
  ];
  return parts.filter((part) => part !== null).join(', ');
}

/** Pays as the customer, if there is an unpaid order: some scenarios make no order, and some have paid already. */
function pay(sandboxUrl: string, controlToken: string, number: string): Promise<string> {
  return payAtSandbox(sandboxUrl, controlToken, number).then(
    () => 'the customer pays, the seller releases',
    () => 'there is nothing to pay at the provider',
  );
}
