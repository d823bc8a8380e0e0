import type { CallbackData } from '../../../domain/order.ts';
import { transactionCode } from '../../support/builders.ts';
import type { AttackClass, Holdings } from '../ground/holdings.ts';
import { guessPath } from './tokens.ts';
import { compose, plusUnits, type Ticket, timesPrice } from '../ground/victims.ts';

/** The attacker's claims about the target, or about another deposit. */
const CLAIMS: Readonly<Record<string, readonly [rows: string, claim: (holdings: Holdings) => CallbackData]>> = {
  'a captured signature on another order': [
    'T1',
    ({ target }) => ({ ...target.data, transactionCode: transactionCode() }),
  ],
  'a raised amount': [
    'T6',
    ({ target, random }) => ({
      ...target.data,
      transactionAmount: random.pick([
        plusUnits(target.data.transactionAmount, 1n),
        '500000',
        '5555.55',
        '999999999999999',
      ]),
    }),
  ],
  'a lowered price': [
    'T6',
    ({ target, random }) => ({
      ...target.data,
      paymentPrice: timesPrice(target.data.paymentPrice, BigInt(random.int(99) + 1), 100n),
    }),
  ],
  'another currency': [
    'T8',
    ({ target, random }) => ({
      ...target.data,
      currencyCode: random.pick((['CNY', 'HKD', 'TWD'] as const).filter((c) => c !== target.data.currencyCode)),
    }),
  ],
  'amount and price exchanged': [
    'T8',
    ({ target }) => ({
      ...target.data,
      transactionAmount: target.data.paymentPrice,
      paymentPrice: target.data.transactionAmount,
    }),
  ],
  'a small payment for a large order': [
    'T9',
    ({ target }) => ({ ...target.data, transactionAmount: '1', paymentPrice: '7.2' }),
  ],
  'a new transaction code': ['T5', ({ target }) => ({ ...target.data, transactionCode: transactionCode() })],
  'a code that was credited to another': [
    'T4',
    ({ target, own }) => ({ ...target.data, transactionCode: own.data.transactionCode }),
  ],
  'another time of payment': [
    'T5',
    ({ target, random }) => ({ ...target.data, paymentFinishedTime: `2021-07-01T00:05:0${random.int(10)}` }),
  ],
  'an order nobody has': [
    'T24',
    ({ target, random }) => ({
      ...target.data,
      externalOrderNumber: `o-${random.base64url(12)}`,
      transactionCode: transactionCode(),
    }),
  ],
  'order numbers in a row': [
    'T10',
    ({ target, random }) => ({
      ...target.data,
      externalOrderNumber: String(random.int(1_000_000)),
      transactionCode: transactionCode(),
    }),
  ],
};

const ODD_NUMBERS = [
  '0',
  '-1',
  '-0',
  '1e400',
  '1e-9',
  '200.005',
  '5000.000000001',
  '"5000"',
  'true',
  'null',
  '[5000]',
  '5e23',
];

/** Puts a message under the address and the signature that the series allows. */
export type Dress = (
  holdings: Holdings,
  compose: (ticket: Ticket) => string,
) => { readonly path: string; readonly body: string };

/** Messages that differ from the actual payment. */
export function contentClasses(dress: Dress): readonly AttackClass[] {
  return [
    ...Object.entries(CLAIMS).map(
      ([name, [row, claim]]): AttackClass => ({
        name,
        rows: [row],
        forge: (holdings) => dress(holdings, (ticket) => compose(claim(holdings), ticket)),
      }),
    ),
    {
      name: 'amounts that are none',
      rows: ['T7'],
      forge: (holdings) =>
        dress(holdings, (ticket) =>
          compose(
            {
              ...holdings.target.data,
              [holdings.random.pick(['transactionAmount', 'paymentPrice'])]: holdings.random.pick(ODD_NUMBERS),
            },
            ticket,
          ),
        ),
    },
    {
      name: 'a captured signature at the private listener',
      rows: ['T3', 'T25', 'T26'],
      forge: ({ ticket, target, random }) => ({
        listener: 'api',
        ...random.pick([
          { method: 'GET', path: `/v1/deposits/${target.order.externalOrderNumber}`, body: '' },
          { method: 'GET', path: `/v1/wallets/${target.order.wallet}`, body: '' },
          { path: '/v1/deposits', body: JSON.stringify({ ...target.order, mtcAmount: '1' }) },
          { path: target.path, body: target.callback?.body ?? '{}' },
        ]),
        headers: {
          signature: ticket.signature,
          timestamp: String(ticket.timestampMs),
          ...(random.int(2) === 0
            ? {}
            : { authorization: `Bearer ${random.pick([ticket.signature, 'dek_', `dek_${random.base64url(43)}`])}` }),
        },
      }),
    },
  ];
}

/** Our own placement reflected: its headers as they were, or its signature under a callback (T2). */
export const REFLECTION_CLASSES: readonly AttackClass[] = [
  {
    name: 'the signature of the placement under a callback',
    rows: ['T2'],
    forge: (holdings) => ({ path: guessPath(holdings), body: compose(holdings.target.data, holdings.target.outbound) }),
  },
  {
    name: 'the headers of the placement',
    rows: ['T2'],
    forge: (holdings) => {
      const { signature, timestampMs } = holdings.target.outbound;
      return {
        path: guessPath(holdings),
        body: JSON.stringify({ ...holdings.target.order, payerRealName: 'Li Ming', supportLanguage: 'en' }),
        headers: { access_key: holdings.random.base64url(43), timestamp: String(timestampMs), signature },
      };
    },
  },
];
