import type { SearchAttributePair } from '@temporalio/common';
import { patched, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { allowedDecisions, type Decision, type Standing } from '../domain/decision.ts';
import type { DepositState } from '../domain/deposit.ts';
import { grouped } from '../domain/money.ts';
import type { CaseProgress } from './decisions.ts';
import type { DepositFacts } from './deposit-facts.ts';
import {
  DepositStateKey,
  type DepositInput,
  type ReviewInput,
  ReviewReasonKey,
  TransactionCodeKey,
} from './messages.ts';

/**
 * Shows a deposit in the Web UI. Current details cost no event; search attributes cost one each time. No personal data.
 */

const WHAT_TO_DO: Readonly<Record<DepositState, string>> = {
  PLACING: 'The order is being placed at the provider. Nothing to do.',
  PLACEMENT_REFUSED: 'The provider has no order. Nothing was credited.',
  PLACEMENT_UNKNOWN:
    'Whether the provider has the order is not known. It is never placed again; a callback will be credited. Compare with the provider’s statement.',
  AWAITING_PAYMENT: 'The customer has the checkout link. Nothing to do.',
  EXPIRED: 'Not heard of within the payment window, which does not mean not paid. A callback will still be credited.',
  CREDITING: 'The payment was judged good; the posting is being written. If this lasts, look at the database.',
  IN_REVIEW: 'A person has to decide: compare callback, order and statement.',
  CREDITED: 'The wallet was credited, once.',
  REJECTED: 'People decided not to credit this payment.',
  UNPAID: 'The listening window is over and nothing came.',
};

export function showDepositDetails(input: DepositInput, state: DepositState, facts: DepositFacts): void {
  const asked =
    input.mtcAmount === null
      ? `${grouped(input.totalPrice ?? '')} ${input.currencyCode}`
      : `${grouped(input.mtcAmount)} MTC, paid in ${input.currencyCode}`;
  const { payment, review } = facts;
  const lines = [
    `### ${state}${facts.late ? ' (late)' : ''}`,
    WHAT_TO_DO[state],
    '',
    `- **asked** ${asked}`,
    `- **wallet** ${input.wallet}`,
    facts.expiresAt === null ? '' : `- **payment window until** ${facts.expiresAt}`,
    facts.advertisementCode === null ? '' : `- **advertisement** ${facts.advertisementCode}`,
    facts.refusal === null ? '' : `- **refused** ${facts.refusal}`,
    payment === null
      ? ''
      : `- **paid** ${grouped(payment.paymentPrice)} ${payment.currencyCode} for ${grouped(payment.transactionAmount)} MTC, transaction ${payment.transactionCode}, inbox row ${payment.inboxId}, received ${payment.receivedAt}`,
    review === null ? '' : `- **review** ${review.reason}: ${review.detail}`,
    facts.postingId === null ? '' : `- **posting** ${facts.postingId}`,
    ...(state === 'IN_REVIEW' ? showStanding(facts) : []),
  ];
  setCurrentDetails(lines.filter((line, i) => line !== '' || i === 2).join('\n'));
}

/** Makes the state searchable. */
export function announce(state: DepositState, facts: DepositFacts): void {
  const pairs: SearchAttributePair[] = [{ key: DepositStateKey, value: state }];
  const code = facts.creditedCode ?? (isHint(state, facts) ? undefined : facts.payment?.transactionCode);
  if (code !== undefined) pairs.push({ key: TransactionCodeKey, value: code });
  if (facts.review !== null) pairs.push({ key: ReviewReasonKey, value: facts.review.reason });
  upsertSearchAttributes(pairs);
}

/** In these states the payment is still the one that a signal named: the database was not asked about it. */
const UNASKED: readonly DepositState[] = ['PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED'];

/**
 * A code that only a signal named is not made searchable. Older workflows announced it; the patch is asked for where it
 * matters for the first time, so that no other deposit pays for the marker.
 */
function isHint(state: DepositState, facts: DepositFacts): boolean {
  if (facts.payment === null || !UNASKED.includes(state)) return false;
  facts.announcesNoHints ??= patched('announce-no-hints');
  return facts.announcesNoHints;
}

const IN_THE_BOOKS: Readonly<Record<Standing, string>> = {
  nothing: 'nothing is posted',
  parked: 'the money waits in suspense',
  credited: 'credited, and in doubt',
  withdrawn: 'taken out of its wallet, waits in suspense',
  returned: 'back at the provider',
  elsewhere: 'its transaction code stands with another posting',
  unreadable: 'there is no amount that could be posted',
};

function showStanding({ standing, proposal }: CaseProgress): string[] {
  const choice = allowedDecisions(standing).join(' or ');
  return [
    `- **in the books** ${IN_THE_BOOKS[standing]}`,
    proposal === null
      ? `- **to decide** ${choice}: propose it with a reason`
      : `- **proposed** ${proposal.decision} by ${proposal.operator} (proposal ${proposal.decisionId}): ${proposal.reason}`,
  ];
}

export function showReviewDetails(input: ReviewInput, progress: CaseProgress): void {
  const { payment, doubt } = input;
  setCurrentDetails(
    [
      `### ${input.reason}`,
      doubt === undefined
        ? 'An authentic callback that no machine may credit. A person has to decide: compare it with the deposit and the statement.'
        : `A credit in doubt, opened by ${doubt.operator}: ${doubt.reason}`,
      '',
      `- **deposit** ${input.externalOrderNumber}`,
      `- **inbox row** ${input.inboxId}`,
      `- **transaction** ${input.transactionCode ?? 'could not be read'}`,
      ...(payment === null || payment === undefined
        ? []
        : [
            `- **paid** ${grouped(payment.paymentPrice)} ${payment.currencyCode} for ${grouped(payment.transactionAmount)} MTC`,
          ]),
      ...(doubt === undefined ? [] : [`- **posting in doubt** ${doubt.postingId}`]),
      ...(input.said === undefined ? [] : [`- **before a restore** ${input.said}`]),
      ...showStanding(progress),
    ].join('\n'),
  );
}

/** Makes a decided case searchable by its decision. */
export const announceDecision = (decision: Decision): void =>
  upsertSearchAttributes([
    {
      key: DepositStateKey,
      value: { credit: 'CREDITED', reject: 'REJECTED', reverse: 'REVERSED', restore: 'RESTORED' }[decision],
    },
  ]);
