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
} from './review-schemas.ts';

/** The routes of people's decisions (docs/reviews.md). `reviews.ts` binds them to what they do. */

const params = z.strictObject({ id: caseId });
const TAG = 'Reviews';
const READ = ['reviews:decide', 'audit:read'] as const;
const DECIDE = ['reviews:decide'] as const;

const { steps: _, ...LISTED } = {
  id: 'review:12',
  state: 'open',
  reason: 'SECOND_CODE',
  detail: '',
  openedAt: '2026-01-31T09:52:11.030Z',
  openedBy: null,
  inboxId: '12',
  externalOrderNumber: 'order-1001',
  wallet: 'wallet-42',
  receivedAt: '2026-01-31T09:52:10.887Z',
  transactionCode: 'ATSA5XKQ1B7N2R9TM3',
  transactionAmount: '5000',
  currencyCode: 'CNY',
  paymentPrice: '36000',
  standing: 'parked',
  allowed: ['credit', 'reject'],
  needsTwo: true,
  reviewLimit: '0',
  proposal: null,
  decision: null,
  decidedBy: null,
  decidedAt: null,
  postingId: null,
  steps: [],
};
const OPEN = { ...LISTED, steps: [] };

const itself = (description: string) => ({ description, schema: reviewCase, example: OPEN });

export const listReviewsOperation = operation({
  id: 'listReviews',
  method: 'GET',
  path: '/v1/reviews',
  tag: TAG,
  summary: 'List cases, oldest first',
  description: 'A key that is limited to wallets sees the cases of those only.',
  scopes: READ,
  query: caseQuery,
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
  description: 'Moves nothing. A credit that is in doubt already is answered with the case that is open.',
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

export const proposeOperation = operation({
  id: 'proposeDecision',
  method: 'POST',
  path: '/v1/reviews/{id}/propose',
  tag: TAG,
  summary: 'Propose a decision',
  scopes: DECIDE,
  params,
  body: proposeBody,
  answers: { 200: itself('The case, with the proposal that waits.') },
  refusals: ['not_found', 'decision_refused'],
});

export const confirmOperation = operation({
  id: 'confirmDecision',
  method: 'POST',
  path: '/v1/reviews/{id}/confirm',
  tag: TAG,
  summary: 'Confirm a proposal',
  description: 'Above the review limit by another person than the one who proposed it.',
  scopes: DECIDE,
  params,
  body: confirmBody,
  answers: {
    200: itself('The case, decided and carried out.'),
    202: itself('Confirmed, and still being carried out: the books are out of reach.'),
  },
  refusals: ['not_found', 'decision_refused'],
});

export const withdrawOperation = operation({
  id: 'withdrawProposal',
  method: 'POST',
  path: '/v1/reviews/{id}/withdraw',
  tag: TAG,
  summary: 'Withdraw a proposal',
  scopes: DECIDE,
  params,
  body: withdrawBody,
  answers: { 200: itself('The case, without a proposal.') },
  refusals: ['not_found', 'decision_refused'],
});
