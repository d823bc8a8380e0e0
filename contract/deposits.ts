import { z } from 'zod';
import {
  depositAnswer,
  depositList,
  evidenceFields,
  health,
  readiness,
  walletAnswer,
  CREDIT_EXAMPLE,
} from './answers.ts';
import { DELIVERY_EXAMPLE, deliveryEvidence } from './endpoint-answers.ts';
import { operation } from './operation.ts';
import { createBody, externalOrderNumber, listQuery, readQuery, walletName } from './requests.ts';

/** The routes of the private listener, except reviews: scopes, schemas, responses. `api/private-app.ts` serves them. */

const order = z.strictObject({ externalOrderNumber });

const DEPOSIT = {
  externalOrderNumber: 'order-1001',
  wallet: 'wallet-42',
  state: 'AWAITING_PAYMENT',
  final: false,
  refusal: null,
  late: false,
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  totalPrice: null,
  currencyCode: 'CNY',
  redirectUrl: 'https://pay.mtpay.example/checkout/6Jx',
  advertisementCode: 'AD20260131093000',
  createdAt: '2026-01-31T09:30:00.000Z',
  expiresAt: '2026-01-31T10:00:00.412Z',
  listeningUntil: '2026-02-03T11:00:00.412Z',
  transactionCode: null,
  standing: 'none',
  creditedAmount: null,
  credits: [],
  otherPayments: [],
  attempts: { count: 0, lastAt: null, nextExpectedAt: null },
  review: null,
  workflowId: 'deposit:order-1001',
  webUi: null,
};
const PLACING = {
  ...DEPOSIT,
  state: 'PLACING',
  redirectUrl: null,
  advertisementCode: null,
  expiresAt: null,
  listeningUntil: null,
};
const CREDITED = {
  ...DEPOSIT,
  state: 'CREDITED',
  final: true,
  transactionCode: 'ATUQXFSR87N9R6TM8',
  standing: 'credited',
  creditedAmount: '5000',
  credits: [CREDIT_EXAMPLE],
  attempts: { count: 1, lastAt: '2026-01-31T09:41:07.118Z', nextExpectedAt: null },
};
const links = {
  readDeposit: { externalOrderNumber: '/externalOrderNumber' },
  readWallet: { wallet: '/wallet' },
};

export const createDepositOperation = operation({
  id: 'createDeposit',
  method: 'POST',
  path: '/v1/deposits',
  tag: 'Deposits',
  summary: 'Create a deposit',
  description:
    'The order number is the idempotency key: a repeat of the same request returns the existing deposit and places no ' +
    'second order. A key that is limited to wallets creates deposits for those only. An amount is refused as ' +
    'invalid_request if no price in the rate band of its currency gives a valid order: a price of 0.01 to 15 digits ' +
    'before the point, and MTC of 0.00000001 to 15 digits.',
  scopes: ['deposits:create'],
  body: createBody,
  answers: {
    200: {
      description: 'The deposit exists already, with these parameters.',
      schema: depositAnswer,
      example: CREDITED,
      links,
    },
    201: { description: 'Created; redirectUrl is the checkout.', schema: depositAnswer, example: DEPOSIT, links },
    202: {
      description:
        'Accepted; the placement has no result yet and redirectUrl is null. Read the deposit after Retry-After seconds, or repeat the request: it places no second order.',
      schema: depositAnswer,
      example: PLACING,
      links,
    },
  },
  refusals: ['other_parameters', 'refused'],
});

export const listDepositsOperation = operation({
  id: 'listDeposits',
  method: 'GET',
  path: '/v1/deposits',
  tag: 'Deposits',
  summary: 'List deposits, newest first',
  description: 'A key that is limited to wallets sees the deposits of those only.',
  scopes: ['deposits:read'],
  query: listQuery,
  exampleQuery: { state: 'CREDITED', createdFrom: '2026-01-31T00:00:00Z', limit: '20' },
  answers: {
    200: {
      description: 'One page.',
      schema: depositList,
      example: { items: [CREDITED], nextCursor: '2026-01-31T09:30:00.000000Z~order-1001' },
    },
  },
});

export const readDepositOperation = operation({
  id: 'readDeposit',
  method: 'GET',
  path: '/v1/deposits/{externalOrderNumber}',
  tag: 'Deposits',
  summary: 'Read one deposit',
  description:
    'A deposit of a wallet outside the limit of the key is answered as one that does not exist. With `wait` the ' +
    'response comes when something has happened: ask again with the new `state` until `final` is true.',
  scopes: ['deposits:read'],
  params: order,
  query: readQuery,
  exampleQuery: { wait: '20', state: 'AWAITING_PAYMENT' },
  answers: {
    200: {
      description: 'The deposit.',
      schema: depositAnswer,
      example: CREDITED,
      links: { readWallet: links.readWallet },
    },
  },
  refusals: ['not_found'],
});

const { answer: _, ...LATE } = DELIVERY_EXAMPLE.attempts[0]!;
const evidence = z
  .strictObject({
    ...evidenceFields,
    deliveries: z.array(deliveryEvidence).meta({
      description: 'Its events to endpoints, at most 1,000, with their attempts, and without what was answered.',
    }),
  })
  .meta({ id: 'Evidence' });

export const readEvidenceOperation = operation({
  id: 'readEvidence',
  method: 'GET',
  path: '/v1/deposits/{externalOrderNumber}/evidence',
  tag: 'Audit',
  summary: 'Read all evidence about a deposit',
  description:
    'One line for each record of the deposit, in order, with the hash of the record: creation, placement, callbacks, verdict, postings, decisions, archive. And the deliveries of its events.',
  scopes: ['audit:read'],
  params: order,
  answers: {
    200: {
      description: 'The lines, oldest first.',
      schema: evidence,
      example: {
        externalOrderNumber: 'order-1001',
        lines: [
          {
            at: '2026-01-31T09:41:07.301882Z',
            source: 'posting 17',
            text: 'credit of 5000 MTC from clearing:mtpay to wallet:wallet-42',
            hash: '9b74c9897bac770ffc029102a200c5de46aa1ae6c0c19d6ba7a02ad2ddbb8a11',
          },
        ],
        deliveries: [{ ...DELIVERY_EXAMPLE, attempts: [LATE] }],
      },
    },
  },
  refusals: ['not_found'],
});

export const readWalletOperation = operation({
  id: 'readWallet',
  method: 'GET',
  path: '/v1/wallets/{wallet}',
  tag: 'Wallets',
  summary: 'Read a wallet',
  description: 'A key that is limited to wallets gets 404 for every other wallet, whether it exists or not.',
  scopes: ['deposits:read'],
  params: z.strictObject({ wallet: walletName }),
  answers: {
    200: {
      description: 'Its balance and newest postings. An unknown wallet has the balance "0".',
      schema: walletAnswer,
      example: {
        wallet: 'wallet-42',
        balance: '5000',
        postings: [
          {
            postingId: '17',
            kind: 'credit',
            externalOrderNumber: 'order-1001',
            transactionCode: 'ATUQXFSR87N9R6TM8',
            amount: '5000',
            postedAt: '2026-01-31T09:41:07.301Z',
          },
        ],
      },
    },
  },
  refusals: ['not_found'],
});

export const healthOperation = operation({
  id: 'readHealth',
  method: 'GET',
  path: '/healthz',
  tag: 'Operation',
  summary: 'Whether the process runs',
  scopes: [],
  answers: { 200: { description: 'The process runs.', schema: health, example: { status: 'alive' } } },
});

const READY = { ready: true, database: 'up', temporal: 'up', withoutEffectMs: null };

export const readinessOperation = operation({
  id: 'readReadiness',
  method: 'GET',
  path: '/readyz',
  tag: 'Operation',
  summary: 'Whether requests should be sent here',
  scopes: [],
  answers: {
    200: { description: 'Ready.', schema: readiness, example: READY },
    503: {
      description: 'The process is stopping, or cannot reach the database.',
      schema: readiness,
      example: { ...READY, ready: false, database: 'down' },
    },
  },
});

export const documentOperation = operation({
  id: 'readOpenApi',
  method: 'GET',
  path: '/openapi.json',
  tag: 'Operation',
  summary: 'This document',
  scopes: [],
  answers: {
    200: {
      description: 'OpenAPI 3.1.',
      schema: z.looseObject({ openapi: z.string().meta({ description: 'The version of OpenAPI.' }) }),
      example: { openapi: '3.1.0' },
    },
  },
});

export const docsOperation = operation({
  id: 'readDocs',
  method: 'GET',
  path: '/docs',
  tag: 'Operation',
  summary: 'This document as a page',
  scopes: [],
  answers: { 200: { description: 'HTML.', schema: z.string(), contentType: 'text/html', example: '<!doctype html>…' } },
});

export const docsStyleOperation = operation({
  id: 'readDocsStyle',
  method: 'GET',
  path: '/docs/style.css',
  tag: 'Operation',
  summary: 'The style of that page',
  scopes: [],
  answers: { 200: { description: 'CSS.', schema: z.string(), contentType: 'text/css', example: 'body { … }' } },
});
