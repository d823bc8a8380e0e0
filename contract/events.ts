import { z } from 'zod';
import type { DepositState } from '../domain/deposit.ts';
import { decimal, postingId, text, time } from './answers.ts';
import { operation } from './operation.ts';
import { cursorOf, externalOrderNumber, instant, pageLimit, walletName } from './requests.ts';
import { buyCoinMode, currencyCode, decision, depositState } from './states.ts';

/** What a merchant is told, one event for each effect: types, bodies, and the list of all (docs/reference/events.md). */

const caseName = text('The case, which operators decide.');
const listeningUntil = time('Until when a payment is accepted.');
const closedAt = time('When the deposit ended.');

/** The deposit at the moment of the event. */
const deposit = {
  externalOrderNumber,
  sequence: z.int().min(1).meta({ description: 'The number of the event among those of its deposit: 1, 2, 3, …' }),
  wallet: walletName,
  state: depositState,
  final: z.boolean().meta({ description: 'Whether the state is final. Operators may still move the money.' }),
  late: z.boolean().meta({ description: 'Whether the payment came after the payment window.' }),
  currencyCode,
  buyCoinMode,
  asked: z
    .union([
      z.strictObject({ mtcAmount: decimal('MTC asked for.') }),
      z.strictObject({ totalPrice: decimal('The price asked for.') }),
    ])
    .meta({ description: 'What was ordered.' }),
};
type Base = typeof deposit;
/** A message whose order is not known has a case, and no deposit. */
const perhaps = Object.fromEntries(
  Object.entries(deposit).map(([name, schema]) => [name, name === 'sequence' ? schema : schema.nullable()]),
) as { [K in keyof Base]: K extends 'sequence' ? Base[K] : z.ZodNullable<Base[K]> };

const moved = {
  postingId: postingId('The posting. No other event has it.'),
  amount: decimal('MTC that the wallet got, or lost. Positive.'),
  transactionCode: text('The provider’s name of the payment that the money came with.'),
};
const into = {
  ...moved,
  paidPrice: decimal('What the payer paid, in `currencyCode`.'),
  creditedAt: time('When it was posted.'),
};

/** An event of an endpoint itself, for the other endpoints of its owner. */
const endpoint = {
  sequence: deposit.sequence,
  endpoint: text('The endpoint: `ep_` and a number.'),
  failingSince: time('Since when it does not answer 2xx.'),
};

interface Said {
  readonly meaning: string;
  readonly data: z.ZodRawShape;
  /** Of `data`, beside the deposit. */
  readonly example: Readonly<Record<string, unknown>>;
  /** Null: it tells of no deposit. */
  readonly state: DepositState | null;
}

const MONEY = { postingId: '17', amount: '5000', transactionCode: 'ATUQXFSR87N9R6TM8' };
const CREDIT = { ...MONEY, paidPrice: '36000', creditedAt: '2026-01-31T09:41:07.301Z' };
const UNTIL = '2026-02-03T11:00:00.412Z';
const CASE = 'deposit:order-1001';

/** Every type of event: what happened, what its `data` says beside the deposit, and an example. */
export const EVENT_KINDS = {
  'deposit.placed': {
    meaning: 'The provider took the order: the checkout link works.',
    data: {
      ...deposit,
      expiresAt: time('When the payment window ends.'),
      listeningUntil,
      advertisementCode: text('The provider’s matched offer; not unique.'),
    },
    example: { expiresAt: '2026-01-31T10:00:00.412Z', listeningUntil: UNTIL, advertisementCode: 'AD20260131093000' },
    state: 'AWAITING_PAYMENT',
  },
  'deposit.refused': {
    meaning: 'There is no order, and none will be placed under this number.',
    data: { ...deposit, refusal: text('Why: the `code` of the 422 of the create.'), closedAt },
    example: { refusal: 'NOT_SENT', closedAt: '2026-01-31T09:31:00.000Z' },
    state: 'PLACEMENT_REFUSED',
  },
  'deposit.unknown': {
    meaning: 'The provider’s answer was lost: nobody knows whether there is an order. A payment is still accepted.',
    data: { ...deposit, listeningUntil },
    example: { listeningUntil: UNTIL },
    state: 'PLACEMENT_UNKNOWN',
  },
  'deposit.expired': {
    meaning: 'The payment window ended without a payment. A late one is still accepted.',
    data: { ...deposit, listeningUntil },
    example: { listeningUntil: UNTIL },
    state: 'EXPIRED',
  },
  'deposit.credited': {
    meaning: 'The payment is in the wallet. The deposit is over.',
    data: { ...deposit, ...into },
    example: CREDIT,
    state: 'CREDITED',
  },
  'deposit.settled': {
    meaning:
      'The deposit is over as credited, by a payment that an event before told as `deposit.payment_added`. This one moves no money.',
    data: { ...deposit, postingId: postingId('The posting that was told before.').nullable(), closedAt },
    example: { postingId: '17', closedAt: '2026-01-31T09:41:07.301Z' },
    state: 'CREDITED',
  },
  'deposit.in_review': {
    meaning: 'The payment is here, and operators have to decide about it.',
    data: { ...deposit, case: caseName, reason: text('Why: a code.') },
    example: { case: CASE, reason: 'AMOUNT_MISMATCH' },
    state: 'IN_REVIEW',
  },
  'deposit.rejected': {
    meaning: 'Operators decided that the payment is not credited to this deposit. The deposit is over.',
    data: { ...deposit, case: caseName, closedAt },
    example: { case: CASE, closedAt: '2026-01-31T11:00:00.000Z' },
    state: 'REJECTED',
  },
  'deposit.unpaid': {
    meaning: 'No payment came. The deposit is over.',
    data: { ...deposit, closedAt },
    example: { closedAt: UNTIL },
    state: 'UNPAID',
  },
  'deposit.reversed': {
    meaning: 'Operators took money out of the wallet.',
    data: {
      ...deposit,
      ...moved,
      kept: z.boolean().meta({ description: 'Whether it waits for another wallet, and is not back at the provider.' }),
      of: postingId('The posting that had put it there.'),
    },
    example: { ...MONEY, postingId: '21', kept: false, of: '17' },
    state: 'CREDITED',
  },
  'deposit.restored': {
    meaning: 'Money that was taken out is in the wallet again.',
    data: { ...deposit, ...into },
    example: { ...CREDIT, postingId: '23' },
    state: 'CREDITED',
  },
  'deposit.payment_added': {
    meaning: 'Operators put a further payment into the wallet of this deposit, also of another order.',
    data: { ...deposit, ...into },
    example: { ...CREDIT, postingId: '25', transactionCode: 'ATV7JH2M6KQ0XRB41' },
    state: 'CREDITED',
  },
  'case.opened': {
    meaning: 'Operators have to decide about a payment.',
    data: { ...perhaps, case: caseName, reason: text('Why: a code.') },
    example: { case: CASE, reason: 'AMOUNT_MISMATCH' },
    state: 'AWAITING_PAYMENT',
  },
  'case.decided': {
    meaning: 'Operators decided. Money that moved into or out of a wallet has an event of its own.',
    data: {
      ...perhaps,
      case: caseName,
      decision,
      postingId: postingId('The posting that carried it out; null: no money moved.').nullable(),
    },
    example: { case: CASE, decision: 'reject', postingId: '19' },
    state: 'REJECTED',
  },
  'endpoint.failing': {
    meaning: 'An endpoint has answered nothing but failures for so long. It is disabled after 120 hours.',
    data: {
      ...endpoint,
      hours: z.literal([60, 84, 108]).meta({ description: 'For how many hours at least: `60`, `84` or `108`.' }),
    },
    example: { endpoint: 'ep_3', failingSince: '2026-01-29T09:00:00.000Z', hours: 60 },
    state: null,
  },
  'endpoint.disabled': {
    meaning: 'Nothing is sent to an endpoint until its owner enables it. Its events wait.',
    data: {
      ...endpoint,
      reason: z.enum(['gone', 'failing']).meta({ description: '`gone`: it answered 410. `failing`: for five days.' }),
    },
    example: { endpoint: 'ep_3', failingSince: '2026-01-29T09:00:00.000Z', reason: 'failing' },
    state: null,
  },
} as const satisfies Record<string, Said>;

export type EventType = keyof typeof EVENT_KINDS;
export const EVENT_TYPES = Object.keys(EVENT_KINDS) as [EventType, ...EventType[]];

export const eventType = z.enum(EVENT_TYPES).meta({
  id: 'EventType',
  description: EVENT_TYPES.map((type) => `\`${type}\`: ${EVENT_KINDS[type].meaning}`).join(' '),
});

/** `deposit.payment_added` is DepositPaymentAdded in the document. */
const nameOf = (type: string): string =>
  type
    .split(/[._]/)
    .map((word) => `${word[0]!.toUpperCase()}${word.slice(1)}`)
    .join('');

const schemaOf = (type: EventType) =>
  z
    .strictObject({
      id: z.string().regex(/^evt_/).meta({
        description: 'The name of the event: the same however often it is sent. Ignore one that you have.',
      }),
      type: z.literal(type).meta({ description: 'What happened.' }),
      version: z.literal(1).meta({ description: 'The form of `data`.' }),
      epoch: z.int().min(1).meta({
        description:
          'Rises when the database was restored from a backup. Numbers of events then begin where the backup ended.',
      }),
      timestamp: time('When it happened.'),
      data: z
        .strictObject(EVENT_KINDS[type].data as z.ZodRawShape)
        .meta({ description: 'The deposit at that moment, and what happened to it.' }),
    })
    .meta({ id: nameOf(type), description: EVENT_KINDS[type].meaning });

/** By type: the body. Receivers ignore fields that they do not know; a test of ours does not. */
export const EVENT_SCHEMAS = Object.fromEntries(EVENT_TYPES.map((type) => [type, schemaOf(type)])) as unknown as {
  readonly [T in EventType]: ReturnType<typeof schemaOf>;
};
const [first, ...others] = EVENT_TYPES.map((type) => EVENT_SCHEMAS[type]);
const anyEvent = z.discriminatedUnion('type', [first!, ...others]).meta({
  id: 'Event',
  description: 'Something that happened; `type` says what.',
  discriminator: {
    propertyName: 'type',
    mapping: Object.fromEntries(EVENT_TYPES.map((type) => [type, `#/components/schemas/${nameOf(type)}`])),
  },
});
export type EventAnswer = z.output<typeof anyEvent>;

export function exampleOf(type: EventType): EventAnswer {
  const { example, state } = EVENT_KINDS[type];
  const head = { type, version: 1, epoch: 1, timestamp: '2026-01-31T09:41:07.303Z' } as const;
  if (state === null) return { id: 'evt_endpoint:3_2', ...head, data: { sequence: 2, ...example } };
  const data = {
    externalOrderNumber: 'order-1001',
    sequence: 2,
    wallet: 'wallet-42',
    state,
    final: ['PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'].includes(state),
    late: false,
    currencyCode: 'CNY',
    buyCoinMode: 'MtcAmount',
    asked: { mtcAmount: '5000' },
    ...example,
  };
  return { id: 'evt_order-1001_2', ...head, data };
}

const CURSOR = /^([1-9]\d{0,8})\.(0|[1-9]\d{0,17})$/;
export interface EventCursor {
  readonly epoch: number;
  /** The place of the last event that was read; 0: none. */
  readonly position: string;
}
export const encodeEventCursor = ({ epoch, position }: EventCursor): string => `${epoch}.${position}`;

const eventCursor = cursorOf(
  CURSOR,
  ([, epoch, position]): EventCursor => ({ epoch: Number(epoch), position: position! }),
  '1.4711',
);

export const listEventsOperation = operation({
  id: 'listEvents',
  method: 'GET',
  path: '/v1/events',
  tag: 'Events',
  summary: 'List events, oldest first',
  description:
    'Every event for ever, in the order in which they were published: no event comes before one that was listed. ' +
    'Keep `nextCursor` and ask again: the next page begins with what happened since. A key that is limited to wallets ' +
    'gets the events of those only.',
  scopes: ['events:read'],
  query: z.strictObject({
    type: z.enum(EVENT_TYPES).optional().meta({ description: 'Only events of this type.' }),
    deposit: externalOrderNumber.optional(),
    since: instant('Only events of this time or later.').optional(),
    cursor: eventCursor.optional(),
    limit: pageLimit,
  }),
  exampleQuery: { type: 'deposit.credited', limit: '20' },
  answers: {
    200: {
      description: 'One page; it may be empty.',
      schema: z
        .strictObject({
          items: z.array(anyEvent).meta({ description: 'At most `limit`, oldest first.' }),
          nextCursor: text('Where the next page begins. Also on the last page: what happens later comes after it.'),
          more: z.boolean().meta({ description: 'Whether the next page has events already.' }),
          epoch: z.int().min(1).meta({ description: 'The present epoch.' }),
        })
        .meta({ id: 'EventList' }),
      example: { items: [exampleOf('deposit.credited')], nextCursor: '1.4711', more: false, epoch: 1 },
    },
  },
  refusals: ['epoch_changed'],
});
