import type { CallbackData } from '../../../domain/order.ts';
import { formatUnits, known, mulDivFloor, parseFiat, parseUnitPrice, UNITS_PER_ONE } from '../../../domain/money.ts';
import { sign } from '../../../providers/mtpay/signature.ts';
import { settings, transactionCode } from '../../support/builders.ts';
import { callbackAddress, providerKey } from '../../support/messages/callbacks.ts';
import { compose, plusUnits, type Shape, type Ticket, type Victim } from '../ground/victims.ts';
import { CREDIT_CAP, type World } from '../ground/world.ts';

/**
 * The material of an attacker in the middle: the provider's genuine signature for this order, and the order's address.
 */
export interface Caught {
  readonly world: World;
  readonly victim: Victim;
  /** A deposit of another customer that was paid and credited. */
  readonly other: Victim;
  /** A genuine signature, this many milliseconds from now; each has another stamp. */
  ticket(offsetMs?: number): Ticket;
}

/** One forwarded message, and its required response. */
export interface Altered {
  readonly body: string;
  readonly answer: 200 | 401 | 503;
  /** Another response that chance may cause; the stored rows have to be the same. */
  readonly orElse?: 200;
  /** Another address than the victim's. */
  readonly path?: string;
}

/** A message altered on its way, under a genuine signature and at the right address. */
export interface Interception {
  readonly name: string;
  readonly rows: readonly string[];
  readonly shapes: readonly Shape[];
  /** MTC of the order; 5000 by default. */
  readonly mtc?: string;
  /** Whether the deposit was paid and credited before. */
  readonly paidBefore?: true;
  say(caught: Caught): readonly Altered[];
  /** The inbox afterwards: receipt and reason of each row but a first one that was there before. */
  readonly kept: readonly string[];
  /** The reason of the deposit's review, when the message is bound to it and judged. */
  readonly review?: string;
  /** How many of the stored ones are good money that waits for operators in suspense; none by default. */
  readonly parked?: number;
}

const MINUTE = 60_000;
const byMtc = (['CNY', 'HKD', 'TWD'] as const).map(
  (currencyCode): Shape => ({ buyCoinMode: 'MtcAmount', currencyCode }),
);
const byPrice = (['CNY', 'HKD', 'TWD'] as const).map(
  (currencyCode): Shape => ({ buyCoinMode: 'PaymentPrice', currencyCode }),
);
/** The flood sends more than is stored of one kind: the rest is counted, and acknowledged if it cannot be money. */
const FLOOD = 25;
const KEPT = 20;

const ack = (caught: Caught, change: Partial<CallbackData>, ticket = caught.ticket()): Altered => ({
  body: compose({ ...caught.victim.data, ...change }, ticket),
  answer: 200,
});

/** The most MTC this price buys within the band, to the unit. */
function mostFor({ data, order }: Victim): string {
  const { from } = settings().rateBands[order.currencyCode];
  const price = known(parseFiat(data.paymentPrice), 'price');
  return formatUnits(mulDivFloor(price, UNITS_PER_ONE, known(parseUnitPrice(from), 'band')));
}

const judged = (
  name: string,
  row: string,
  shapes: readonly Shape[],
  review: string,
  change: (victim: Victim) => Partial<CallbackData>,
): Interception => ({
  name,
  rows: [row],
  shapes,
  kept: ['first'],
  review,
  say: (caught) => [ack(caught, change(caught.victim))],
});

/** Different from the deposit's own payment, which is credited already: acknowledged, and for operators. */
const beside = (name: string, reason: string, say: Interception['say'], receipt = 'other_content'): Interception => ({
  name,
  rows: ['T5'],
  shapes: [...byMtc, ...byPrice],
  paidBefore: true,
  kept: [`${receipt} ${reason}`],
  say,
});

const otherCurrency = ({ data }: Victim) => (data.currencyCode === 'CNY' ? 'HKD' : 'CNY');

export const INTERCEPTIONS: readonly Interception[] = [
  judged('one unit more MTC than was ordered', 'T6', byMtc, 'AMOUNT_MISMATCH', ({ data }) => ({
    transactionAmount: plusUnits(data.transactionAmount, 1n),
  })),
  judged('one unit less MTC than was ordered', 'T6', byMtc, 'AMOUNT_MISMATCH', ({ data }) => ({
    transactionAmount: plusUnits(data.transactionAmount, -1n),
  })),
  judged('a price far below the band', 'T9', byMtc, 'RATE_OUT_OF_BAND', () => ({ paymentPrice: '7.2' })),
  judged('a cent less than the price', 'T9', byPrice, 'PRICE_MISMATCH', ({ data }) => ({
    paymentPrice: plusUnits(data.paymentPrice, -1_000_000n),
  })),
  judged('one unit more MTC than the band gives', 'T6', byPrice, 'RATE_OUT_OF_BAND', (victim) => ({
    transactionAmount: plusUnits(mostFor(victim), 1n),
  })),
  {
    ...judged('more MTC than the cap, within the band', 'T6', byPrice, 'ABOVE_CAP', () => ({
      transactionAmount: plusUnits(CREDIT_CAP, 1n),
    })),
    mtc: '59000',
  },
  judged('another currency, the numbers fit', 'T8', [byMtc[0]!, byPrice[0]!], 'CURRENCY_MISMATCH', (victim) => ({
    currencyCode: otherCurrency(victim),
  })),
  {
    name: 'a code that was credited to another order',
    rows: ['T4'],
    shapes: [...byMtc, ...byPrice],
    kept: ['first'],
    review: 'LEDGER_CONFLICT',
    say: (caught) => [ack(caught, { transactionCode: caught.other.data.transactionCode })],
  },
  {
    name: 'two messages under one signature',
    rows: ['T1', 'T5'],
    shapes: [...byMtc, ...byPrice],
    kept: ['unreadable UNREADABLE', 'other_content STAMP_REUSED'],
    say: (caught) => {
      const ticket = caught.ticket();
      return [ack(caught, { transactionAmount: '-1' }, ticket), ack(caught, {}, ticket)];
    },
  },
  {
    name: 'the signature of the placement, at the right address',
    rows: ['T2'],
    shapes: [...byMtc, ...byPrice],
    kept: ['reflected REFLECTED'],
    say: (caught) => {
      const reflected = ack(caught, {}, caught.victim.outbound);
      // An honest callback may have met our stamp before: then this is not its first return.
      return [{ ...reflected, answer: 503, orElse: 200 }, reflected];
    },
  },
  {
    name: 'a stamp from before the order',
    rows: ['T1'],
    shapes: byMtc,
    kept: ['stale STAMP_BEFORE_ORDER'],
    say: (caught) => [ack(caught, {}, caught.ticket(-6 * MINUTE))],
  },
  {
    name: 'a stamp older than the listening window',
    rows: ['T1'],
    shapes: byPrice,
    kept: ['stale STALE'],
    say: (caught) => [ack(caught, {}, caught.ticket(-74 * 60 * MINUTE))],
  },
  {
    name: 'a stamp three minutes ahead',
    rows: ['T13'],
    shapes: byMtc,
    kept: ['ahead STAMP_AHEAD'],
    say: (caught) => [ack(caught, {}, caught.ticket(3 * MINUTE))],
  },
  {
    name: 'a stamp an hour ahead',
    rows: ['T13'],
    shapes: byMtc,
    kept: [],
    say: (caught) => [{ ...ack(caught, {}, caught.ticket(60 * MINUTE)), answer: 401 }],
  },
  {
    name: 'amounts that are none',
    rows: ['T7'],
    shapes: [...byMtc, ...byPrice],
    kept: ['0', '-0', '1e400', '5e23', '5000.000000001', '"5000"'].map(() => 'unreadable UNREADABLE'),
    say: (caught) =>
      ['0', '-0', '1e400', '5e23', '5000.000000001', '"5000"'].map((transactionAmount) =>
        ack(caught, { transactionAmount }),
      ),
  },
  {
    name: 'a flood of what cannot be read',
    rows: ['T16', 'T22'],
    shapes: [byMtc[0]!],
    kept: Array.from({ length: KEPT }, () => 'unreadable UNREADABLE'),
    say: (caught) => Array.from({ length: FLOOD }, (_, i) => ack(caught, { transactionAmount: `-${i + 1}` })),
  },
  {
    name: 'an order nobody has',
    rows: ['T24'],
    shapes: [byMtc[0]!],
    kept: [],
    say: (caught) => {
      const externalOrderNumber = `o-${transactionCode()}`;
      const path = new URL(callbackAddress(caught.world.engine, externalOrderNumber)).pathname;
      return [{ ...ack(caught, { externalOrderNumber }), answer: 503, path }];
    },
  },
  beside('another amount under the code that was credited', 'OTHER_CONTENT', (caught) => [
    ack(caught, { transactionAmount: '999999' }),
  ]),
  beside('another price under the code that was credited', 'OTHER_CONTENT', (caught) => [
    ack(caught, { paymentPrice: '1' }),
  ]),
  beside('another currency under the code that was credited', 'OTHER_CONTENT', (caught) => [
    ack(caught, { currencyCode: otherCurrency(caught.victim) }),
  ]),
  beside('another time under the code that was credited', 'OTHER_CONTENT', (caught) => [
    ack(caught, { paymentFinishedTime: '2021-07-02T00:00:00' }),
  ]),
  beside('a second code under the signature of the first', 'STAMP_REUSED', (caught) => [
    ack(caught, { transactionCode: transactionCode() }, caught.victim.callback!.ticket),
  ]),
  {
    ...beside(
      'a second code under a signature of its own',
      'SECOND_CODE',
      (caught) => [ack(caught, { transactionCode: transactionCode() })],
      'final',
    ),
    parked: 1,
  },
  {
    ...beside(
      'a flood of second codes',
      'SECOND_CODE',
      (caught) =>
        Array.from({ length: FLOOD }, (_, i) => ({
          ...ack(caught, { transactionCode: transactionCode() }),
          answer: i < KEPT ? 200 : 503,
        })),
      'final',
    ),
    rows: ['T16', 'T22'],
    shapes: [byMtc[0]!],
    kept: Array.from({ length: KEPT }, () => 'final SECOND_CODE'),
    parked: KEPT,
  },
  {
    name: 'the same bytes thirty times',
    rows: ['T4', 'T23'],
    shapes: [...byMtc, ...byPrice],
    paidBefore: true,
    kept: [],
    say: ({ victim }) => Array.from({ length: 30 }, () => ({ body: victim.callback!.body, answer: 200 })),
  },
];

/** Far enough ahead that no stamp of ours is made there before the ticket was used; less than what counts as ahead. */
const AHEAD_MS = MINUTE;

/** The provider's tickets, each of a unique millisecond; with an offset, that far from now. */
export function createTickets(world: World): (offsetMs?: number) => Ticket {
  let last = 0;
  return (offsetMs) => {
    last = Math.max(last + 1, Date.now() + AHEAD_MS);
    const timestampMs = offsetMs === undefined ? last : last - AHEAD_MS + offsetMs;
    return { timestampMs, signature: sign(providerKey(world.engine), timestampMs) };
  };
}
