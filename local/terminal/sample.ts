/** Walks one real deposit from order to wallet, and prints each step. */

import { randomBytes } from 'node:crypto';
import type { Deposit, DepositClient } from '../../client/src/client.ts';
import { payAtSandbox } from '../stack/sandbox-api.ts';
import { proveAcknowledged } from './proof.ts';
import { readable, type Story } from './story.ts';

/** The sample deposit did not reach the wallet; the message names its last state. */
class SampleFailedError extends Error {
  override name = 'SampleFailedError';
}

export const sampleAmount = '5000';
const WALLET = 'wallet-42';
const PATIENCE_MS = 60_000;
/** States from which a deposit does not continue by itself. */
const dead = new Set(['PLACEMENT_REFUSED', 'PLACEMENT_UNKNOWN', 'EXPIRED', 'IN_REVIEW', 'REJECTED', 'UNPAID']);

export type SampleOptions = {
  readonly api: DepositClient;
  readonly sandboxUrl: string;
  readonly controlToken: string;
  readonly story: Story;
  readonly signal: AbortSignal;
};

/**
 * Creates a deposit, pays it at the sandbox and waits until the wallet is credited.
 * @throws SampleFailedError if the deposit ends differently, and DepositEngineError if not within a minute.
 */
export async function walkSample(options: SampleOptions): Promise<Deposit> {
  const { api, story } = options;
  const externalOrderNumber = `sample-${randomBytes(5).toString('hex')}`;
  const since = performance.now();
  const step = (what: string, detail: string) => story.step(performance.now() - since, what, detail);

  step('order', `${externalOrderNumber}: ${readable(sampleAmount)} MTC for ${WALLET}, paid in CNY`);
  await api.deposits.create({
    externalOrderNumber,
    wallet: WALLET,
    buyCoinMode: 'MtcAmount',
    mtcAmount: sampleAmount,
    currencyCode: 'CNY',
    supportLanguage: 'en',
    payerRealName: 'Sample Payer',
  });
  const waitFor = (reached: (deposit: Deposit) => boolean) => watch(options, externalOrderNumber, reached);

  const placed = await waitFor(({ redirectUrl }) => redirectUrl !== null);
  step('placed', `at the provider, checkout ${placed.redirectUrl}`);

  await payAtSandbox(options.sandboxUrl, options.controlToken, externalOrderNumber);
  step('paid', 'the sandbox plays the customer and the merchant who sells MTC');

  const called = await waitFor(({ attempts }) => attempts.count > 0);
  const price = called.totalPrice === null ? '' : `, ${readable(called.totalPrice)} ${called.currencyCode}`;
  step('callback', `verified and stored: ${called.transactionCode ?? 'transaction read'}${price}`);

  const credited = await waitFor(({ state }) => state === 'CREDITED');
  step('credited', `${readable(credited.creditedAmount ?? '?')} MTC to ${WALLET}`);

  const { holds, found } = await proveAcknowledged(options.sandboxUrl, options.controlToken, externalOrderNumber);
  if (holds) step('acknowledged', found);
  else story.warn(`${found}. It comes again until it does; MTPAY_ACK says what is answered.`);
  return credited;
}

async function watch(
  { api, signal }: SampleOptions,
  externalOrderNumber: string,
  reached: (deposit: Deposit) => boolean,
): Promise<Deposit> {
  const until = (deposit: Deposit) => reached(deposit) || dead.has(deposit.state);
  const deposit = await api.deposits.wait(externalOrderNumber, { signal, timeoutMs: PATIENCE_MS, until });
  if (reached(deposit)) return deposit;
  const reason = deposit.review === null ? '' : ` (${deposit.review.reason})`;
  throw new SampleFailedError(`The sample deposit ${externalOrderNumber} is ${deposit.state}${reason}.`);
}
