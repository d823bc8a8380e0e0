import type pg from 'pg';
import { addFault, type Fault, faultKind } from './faults.ts';

/** An incident of deposits under its everyday name: one or more kinds of faults with their parameters. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** MTPay's behavior, and the merchant's correct reaction. */
  readonly description: string;
  readonly faults: readonly { readonly kind: string; readonly params: Readonly<Record<string, unknown>> }[];
}

const scenario = (
  name: string,
  title: string,
  description: string,
  ...kinds: readonly (string | [string, object])[]
) => ({
  name,
  title,
  description,
  faults: kinds.map((each) => {
    const [kind, params] = typeof each === 'string' ? [each, {}] : each;
    return { kind, params: params as Readonly<Record<string, unknown>> };
  }),
});

/** The ready-made scenarios; each acts on one order. The menu of single kinds has all other faults. */
export const SCENARIOS: readonly Scenario[] = [
  scenario(
    'customer-pays-twice',
    'The customer pays twice',
    'Two genuine payments for one order. One may be credited; the other is for people to decide.',
    'secondCode',
  ),
  scenario(
    'answer-lost',
    'The answer is lost',
    'The order is made and nobody hears of it. It must not be placed again; its callback may still come.',
    'cut',
  ),
  scenario(
    'answer-never-comes',
    'The answer never comes',
    'The connection stays open and silent until the merchant gives up; the order was made.',
    'hang',
  ),
  scenario(
    'provider-down',
    'The provider is down',
    'HTTP 503 instead of an answer, and no order was made. The merchant cannot know that.',
    ['http500', { httpStatus: 503 }],
  ),
  scenario(
    'account-frozen',
    'The account is frozen',
    'The placement is refused with ACCOUNT_STATUS_ERROR: there is no order.',
    'frozen',
  ),
  scenario(
    'paid-before-the-answer',
    'Paid before the answer',
    'The callback is there before the answer to the placement: the customer was quicker.',
    'early',
  ),
  scenario('callback-lost', 'The callback never comes', 'Paid and released, and nobody is told.', 'missing'),
  scenario('callback-late', 'The callback is late', 'Paid now, told ten minutes later.', ['delay', { ms: 600_000 }]),
  scenario(
    'callback-twice',
    'The callback comes twice',
    'Two copies of one callback at the same moment: one credit.',
    'duplicate',
  ),
  scenario(
    'callback-storm',
    'A storm of callbacks',
    'The first delivery and all sixteen retries at once: one credit.',
    'retryStorm',
  ),
  scenario(
    'acknowledgement-unnoticed',
    'The acknowledgement is not noticed',
    'The callback was acknowledged and comes again: one credit.',
    'retryAcked',
  ),
  scenario(
    'two-amounts',
    'One payment, two amounts',
    'A second callback tells the same transaction with twice the amount: for people to decide.',
    'otherContent',
  ),
  scenario(
    'payment-of-another-order',
    'A payment of another order',
    'The callback carries the transaction code of the order that was released last.',
    'sameCode',
  ),
  scenario(
    'forged-signature',
    'A forged signature',
    'The first callback is signed by nobody’s key and has to be refused; the retry is genuine.',
    'badSignature',
  ),
  scenario(
    'amount-changed',
    'The amount is changed on the way',
    'A genuine signature, which does not cover the body, over another amount: that is not to be credited.',
    'changedBody',
  ),
  scenario(
    'old-callback',
    'A callback from long ago',
    'Genuinely signed for a time three days ago, as by somebody who has kept one: that is not to be credited.',
    'staleTimestamp',
  ),
  scenario(
    'key-changed',
    'The key was changed',
    'The callback is signed with a key that the merchant was not given; the retry with the one it has.',
    'rotatedKey',
  ),
  scenario(
    'clock-off',
    'The provider’s clock is off',
    'One hour ahead, in the window check, in the Date header and in what it signs.',
    'clockSkew',
  ),
];

export const scenarioNamed = (name: string): Scenario | undefined => SCENARIOS.find((each) => each.name === name);

/** Arms each fault of a scenario once; `scope` as in {@link Fault}. */
export async function armScenario(pool: pg.Pool, { faults }: Scenario, scope: string): Promise<Fault[]> {
  const armed: Fault[] = [];
  for (const { kind, params } of faults) {
    armed.push(await addFault(pool, { kind, scope, params: faultKind(kind)!.parse(params), remaining: 1 }));
  }
  return armed;
}
