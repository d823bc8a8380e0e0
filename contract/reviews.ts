import { z } from 'zod';
import { operation } from './operation.ts';
import {
  caseId,
  caseList,
  caseQuery,
  confirmBody,
  doubtBody,
  proposeBody,
  reviewCase,
  withdrawBody,
} from './review-answers.ts';
import { CREDIT_EXAMPLE } from './answers.ts';

/** The routes of operators' decisions (docs/guides/reviews.md). `api/routes/reviews.ts` implements them. */

const params = z.strictObject({ id: caseId });
const TAG = 'Reviews';
const READ = ['reviews:decide', 'audit:read'] as const;
const DECIDE = ['reviews:decide'] as const;

const LISTED = {
  id: 'review:12-5f0c9a3e',
  state: 'open',
  reason: 'SECOND_CODE',
  detail: '',
  openedAt: '2026-01-31T09:52:11.030Z',
  openedBy: null,
  inboxId: '12',
  externalOrderNumber: 'order-1001',
  wallet: 'wallet-42',
  receivedAt: '2026-01-31T09:52:10.887Z',
  sealed: true,
  contentHash: '5a2c1e0d7b9f4c3e8a6d1f0b2c4e6a8d0f1b3d5c7e9a0b2c4d6e8f1a3b5c7d9e',
  transactionCode: 'ATSA5XKQ1B7N2R9TM3',
  transactionAmount: '5000',
  currencyCode: 'CNY',
  paymentPrice: '36000',
  standing: 'parked',
  newestCredit: '17',
  allowed: ['credit', 'reject'],
  needsTwo: true,
  reviewLimit: '0',
  proposal: null,
  decision: null,
  decidedBy: null,
  decidedAt: null,
  postingId: null,
};
/** A second payment, beside one that a machine has credited. */
const OPEN = {
  ...LISTED,
  deposit: {
    state: 'CREDITED',
    final: true,
    buyCoinMode: 'MtcAmount',
    mtcAmount: '5000',
    totalPrice: null,
    currencyCode: 'CNY',
    standing: 'credited',
    creditedAmount: '5000',
  },
  credits: [CREDIT_EXAMPLE],
  otherPayments: [
    {
      inboxId: '11',
      transactionCode: 'ATUQXFSR87N9R6TM8',
      amount: '5000',
      currencyCode: 'CNY',
      paymentPrice: '36000',
      receivedAt: '2026-01-31T09:41:07.118Z',
      case: null,
      outcome: 'credited',
    },
  ],
  warnings: [],
  steps: [],
};
const BESIDE = {
  id: '7',
  decision: 'credit',
  reason: 'paid twice, stands in the statement twice',
  operator: 'alice',
  keep: false,
  toDeposit: null,
  beside: '17',
  onlyOrdered: false,
  at: '2026-01-31T11:20:00.000Z',
};
const PROPOSED_STEP = {
  ...BESIDE,
  step: 'propose',
  proposal: null,
  facts: null,
  outcome: 'waiting',
  refusal: null,
};
const CONFIRMED_STEP = {
  ...PROPOSED_STEP,
  id: '8',
  step: 'confirm',
  decision: null,
  proposal: '7',
  beside: null,
  reason: null,
  operator: 'bob',
  at: '2026-01-31T11:24:30.000Z',
};
const PROPOSED = { ...OPEN, proposal: { ...BESIDE, signature: null }, steps: [PROPOSED_STEP] };
const CONFIRMED = { ...PROPOSED, steps: [PROPOSED_STEP, CONFIRMED_STEP] };
const DECIDED = {
  ...OPEN,
  state: 'closed',
  standing: null,
  newestCredit: '23',
  allowed: [],
  decision: 'credit',
  decidedBy: 'alice+bob',
  decidedAt: '2026-01-31T11:24:30.210Z',
  postingId: '23',
  deposit: { ...OPEN.deposit, standing: 'more', creditedAmount: '10000' },
  credits: [
    ...OPEN.credits,
    {
      postingId: '23',
      amount: '5000',
      rest: null,
      wallet: 'wallet-42',
      transactionCode: 'ATSA5XKQ1B7N2R9TM3',
      how: 'people',
      at: '2026-01-31T11:24:30.205Z',
      reversed: null,
    },
  ],
  steps: CONFIRMED.steps.map((taken) => ({ ...taken, outcome: 'carried' })),
};

const itself = (description: string, example: object = OPEN) => ({ description, schema: reviewCase, example });

export const listReviewsOperation = operation({
  id: 'listReviews',
  method: 'GET',
  path: '/v1/reviews',
  tag: TAG,
  summary: 'List cases, oldest first',
  description: 'A key that is limited to wallets sees the cases of those only.',
  scopes: READ,
  query: caseQuery,
  exampleQuery: { state: 'open', limit: '20' },
  answers: {
    200: { description: 'One page.', schema: caseList, example: { items: [LISTED], nextCursor: null } },
  },
});

export const doubtCreditOperation = operation({
  id: 'doubtCredit',
  method: 'POST',
  path: '/v1/reviews',
  tag: TAG,
  summary: 'Open a case about a credit',
  description: 'It moves no money. For a credit that is already in doubt it returns the open case.',
  scopes: DECIDE,
  body: doubtBody,
  answers: { 201: itself('The case.') },
  refusals: ['not_found'],
});

export const readReviewOperation = operation({
  id: 'readReview',
  method: 'GET',
  path: '/v1/reviews/{id}',
  tag: TAG,
  summary: 'Read a case, with every step that was taken',
  scopes: READ,
  params,
  answers: { 200: itself('The case.') },
  refusals: ['not_found'],
});

/** Said of each step: 503 is no refusal. */
const AFTER_503 =
  'After 503 the step is stored and may still count: read the case before you repeat it. ' +
  'A repeated step needs a new signature, if it has one.';

export const proposeOperation = operation({
  id: 'proposeDecision',
  method: 'POST',
  path: '/v1/reviews/{id}/propose',
  tag: TAG,
  summary: 'Propose a decision',
  description:
    'If another payment of the deposit is in its wallet, `beside` names the newest one as the case shows it ' +
    '(`newestCredit`; else 409 credited_meanwhile), and two people are required at any limit. Only to credit an ' +
    'unreadable callback, `facts` state the payment by the provider’s statement (else 409 facts_required). ' +
    AFTER_503,
  scopes: DECIDE,
  params,
  body: proposeBody,
  answers: { 200: itself('The case, with the proposal that waits, and the warnings for the operator.', PROPOSED) },
  refusals: ['not_found', 'decision_refused'],
});

export const confirmOperation = operation({
  id: 'confirmDecision',
  method: 'POST',
  path: '/v1/reviews/{id}/confirm',
  tag: TAG,
  summary: 'Confirm a proposal',
  description: `Above the review limit, another person than the proposer has to confirm. ${AFTER_503}`,
  scopes: DECIDE,
  params,
  body: confirmBody,
  answers: {
    200: itself('The case, decided and carried out.', DECIDED),
    202: itself('Confirmed, and not carried out within 8 s. Read the case after Retry-After seconds.', CONFIRMED),
  },
  refusals: ['not_found', 'decision_refused'],
});

export const withdrawOperation = operation({
  id: 'withdrawProposal',
  method: 'POST',
  path: '/v1/reviews/{id}/withdraw',
  tag: TAG,
  summary: 'Withdraw a proposal',
  description: AFTER_503,
  scopes: DECIDE,
  params,
  body: withdrawBody,
  answers: { 200: itself('The case, without a proposal.') },
  refusals: ['not_found', 'decision_refused'],
});
