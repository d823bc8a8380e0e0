import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Confirmation, DecisionAnswer, Proposal, Standing } from '../domain/decision.ts';
import { grouped } from '../domain/money.ts';
import type { DepositSettings, Order, Payment, ProviderName } from '../domain/order.ts';
import type { ReviewReason } from '../domain/review.ts';
import { caseWorkflowId, depositWorkflowId } from '../domain/ids.ts';

/**
 * The wire format between the API and the workflows. Histories hold these names and shapes: never rename or remove,
 * only add what is optional (docs/internals/changing-workflows.md). No personal data, no link, no token.
 */

export const TASK_QUEUE = 'deposits';

/** The deposit's facts and its frozen settings. */
export interface DepositInput extends Order {
  readonly settings: DepositSettings;
  /** When its row was written, by the database's clock, RFC 3339; missing in older histories. */
  readonly reservedAt?: string;
  /** The provider it is placed at; missing in older histories, whose deposits are all MTPay's. */
  readonly provider?: ProviderName;
}

/**
 * A callback that no machine may credit: the workflow `review:…` holds its case until operators decide. Optional
 * fields are missing in histories of v1.
 */
export interface ReviewInput {
  readonly inboxId: string;
  readonly externalOrderNumber: string;
  readonly reason: ReviewReason;
  readonly transactionCode: string | null;
  /** The payment in the inbox row; null when the message could not be read. */
  readonly payment?: Payment | null;
  /** The deposit it claims, with its frozen settings; null when there is none. */
  readonly order?: DepositInput | null;
  /** The place of its money at the start. */
  readonly standing?: Standing;
  /** A credit in doubt: the posting, who doubts it and why. */
  readonly doubt?: { readonly postingId: string; readonly operator: string; readonly reason: string };
  /** The case's id when it is not `review:<inboxId>`: every case of today, see {@link reviewWorkflowId}. */
  readonly workflowId?: string;
  /** The workflow that holds the case, when it is not the case's own: that one ended while the row stayed open. */
  readonly heldBy?: string;
  /** The result of the previous workflow, if it had ended before PostgreSQL was restored to an older state. */
  readonly said?: string;
}

/**
 * The callback endpoint, or the relay after it, has bound a payment. A repeat with the same inbox id changes nothing.
 */
export const callbackAccepted = defineSignal<[Payment]>('callbackAccepted');
/**
 * The deposit's row may be final already: the workflow reads it. The signal has no content, so it cannot carry false
 * facts.
 */
export const lookAgain = defineSignal('lookAgain');
/** The provider's response came after the placement had been settled as unknown: there is a checkout link after all. */
export const orderAnswered = defineSignal<[{ readonly expiresAt: string }]>('orderAnswered');

/**
 * The operators' steps. `operator` is the name of a personal key, set by the API. The rows that the ids name are read
 * again before money moves. The error of a refused step has a DecisionFault as its type, that of a malformed one
 * `malformed`. An update that a validator rejects leaves no trace in the history.
 */
export const propose = defineUpdate<void, [Proposal]>('propose');
/** Resolves when the decision was carried out; while the database is down it waits. */
export const confirm = defineUpdate<DecisionAnswer, [Confirmation]>('confirm');
export const withdraw = defineUpdate<void, [Confirmation & { readonly reason: string }]>('withdraw');

export const DepositStateKey = defineSearchAttributeKey('DepositState', 'KEYWORD');
export const CurrencyKey = defineSearchAttributeKey('Currency', 'KEYWORD');
export const BuyCoinModeKey = defineSearchAttributeKey('BuyCoinMode', 'KEYWORD');
export const TransactionCodeKey = defineSearchAttributeKey('TransactionCode', 'KEYWORD');
export const ReviewReasonKey = defineSearchAttributeKey('ReviewReason', 'KEYWORD');
/** For searching only: an approximation of the asked amount. */
export const MtcAmountKey = defineSearchAttributeKey('MtcAmount', 'DOUBLE');

export const SEARCH_ATTRIBUTES = [
  DepositStateKey,
  CurrencyKey,
  BuyCoinModeKey,
  TransactionCodeKey,
  ReviewReasonKey,
  MtcAmountKey,
];

/**
 * A worker that dies in the middle of a task is noticed after this long; between tasks, after two seconds. It must not
 * be shorter. A worker that freezes for longer during a local activity continues with newer messages, in an order that
 * no replay produces (docs/decisions/0015-an-audit-that-trusts-nobody.md).
 */
const WORKFLOW_TASK_TIMEOUT = '10s';

/** Returns the start options of a deposit, for the API and the relay alike: a second start finds the first. */
export function depositStart(input: DepositInput) {
  const searchable: SearchAttributePair[] = [
    // The state of most of its life: on the happy path only the end is written again.
    { key: DepositStateKey, value: 'AWAITING_PAYMENT' },
    { key: CurrencyKey, value: input.currencyCode },
    { key: BuyCoinModeKey, value: input.buyCoinMode },
  ];
  if (input.mtcAmount !== null) searchable.push({ key: MtcAmountKey, value: Number(input.mtcAmount) });
  return {
    workflowId: depositWorkflowId(input.externalOrderNumber),
    taskQueue: TASK_QUEUE,
    args: [input] as [DepositInput],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
    staticSummary: depositSummary(input),
    typedSearchAttributes: searchable,
  } as const;
}

/** Returns the start options of a case's workflow: it starts once, and again only after it was terminated by hand. */
export function reviewStart(input: ReviewInput) {
  const searchable: SearchAttributePair[] = [
    { key: DepositStateKey, value: 'IN_REVIEW' },
    { key: ReviewReasonKey, value: input.reason },
  ];
  if (input.transactionCode !== null) searchable.push({ key: TransactionCodeKey, value: input.transactionCode });
  return {
    workflowId: input.heldBy ?? caseWorkflowId(input),
    taskQueue: TASK_QUEUE,
    args: [input] as [ReviewInput],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
    staticSummary: `${input.reason}: callback ${input.inboxId} of deposit ${input.externalOrderNumber}`,
    typedSearchAttributes: searchable,
  } as const;
}

const depositSummary = (order: Order): string =>
  order.mtcAmount === null
    ? `${grouped(order.totalPrice ?? '')} ${order.currencyCode} for ${order.wallet}`
    : `${grouped(order.mtcAmount)} MTC for ${order.wallet}, ${order.currencyCode}`;
