import { z } from 'zod';
import { DEPOSIT_STATES } from '../domain/deposit.ts';
import { BUY_COIN_MODES, CURRENCIES, IDENTIFIER } from '../domain/order.ts';
import { externalOrderNumber, walletName } from './schemas.ts';

/** What the API answers with. These schemas type what is sent, are the document's, and are held against it in tests. */

export const time = (description: string) =>
  z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
    .meta({ description: `${description} RFC 3339, UTC.`, format: 'date-time' });
export const decimal = (description: string) =>
  z
    .string()
    .regex(/^-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?$/)
    .meta({ description: `${description} A canonical decimal.` });
export const text = (description: string) => z.string().meta({ description });

export const deposit = z
  .strictObject({
    externalOrderNumber,
    wallet: walletName,
    state: z.enum(DEPOSIT_STATES),
    late: z.boolean().meta({ description: 'Whether the payment came after the payment window.' }),
    buyCoinMode: z.enum(BUY_COIN_MODES),
    mtcAmount: decimal('MTC asked for; null in mode PaymentPrice.').nullable(),
    totalPrice: decimal('The price asked for; null in mode MtcAmount.').nullable(),
    currencyCode: z.enum(CURRENCIES),
    redirectUrl: text('The checkout; null until the order is placed.').nullable(),
    advertisementCode: text('The provider’s matched offer; not unique.').nullable(),
    createdAt: time('When the deposit was accepted.'),
    expiresAt: time('When the payment window ends.').nullable(),
    listeningUntil: time('Until when a callback is accepted.').nullable(),
    transactionCode: text('The provider’s name of the payment.').nullable(),
    creditedAmount: decimal('What the wallet was credited with, MTC.').nullable(),
    attempts: z.strictObject({
      count: z.int().min(0).meta({ description: 'Callbacks received for this deposit, repeats included.' }),
      lastAt: time('When the last came.').nullable(),
      nextExpectedAt: time('When the next is due.').nullable(),
    }),
    reversal: z
      .strictObject({ postingId: text('What took the credit back.'), at: time('When.'), kept: z.boolean() })
      .optional()
      .meta({ description: 'Only where people took the credit back; kept: into suspense.' }),
    review: z
      .strictObject({ reason: text('Why a person has to look.') })
      .nullable()
      .meta({ description: 'Set while, and after, a person decides.' }),
    workflowId: text('The deposit’s workflow in Temporal.'),
    webUi: text('The workflow in Temporal’s Web UI, where one is configured.').nullable(),
  })
  .meta({ id: 'Deposit' });
export type DepositAnswer = z.output<typeof deposit>;

export const depositList = z
  .strictObject({
    items: z.array(deposit),
    nextCursor: text('Where the next page begins; null on the last.').nullable(),
  })
  .meta({ id: 'DepositList' });

export const wallet = z
  .strictObject({
    wallet: z.string().regex(IDENTIFIER),
    balance: decimal('What the wallet holds, MTC; "0" for one that nobody has heard of.'),
    postings: z
      .array(
        z.strictObject({
          postingId: z.string().regex(/^\d+$/),
          kind: text('What moved the money.'),
          externalOrderNumber: externalOrderNumber.nullable(),
          transactionCode: text('The provider’s name of the payment.').nullable(),
          amount: decimal('What it added, MTC; negative takes away.'),
          postedAt: time('When it was posted.'),
        }),
      )
      .readonly()
      .meta({ description: 'The newest 100, newest first.' }),
  })
  .meta({ id: 'Wallet' });

export const evidence = z
  .strictObject({
    externalOrderNumber,
    lines: z.array(
      z.strictObject({
        at: z.string().meta({ description: 'When. RFC 3339, UTC.', format: 'date-time' }),
        source: text('Which record says so.'),
        text: text('What happened, in words.'),
        hash: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .meta({ description: 'sha256 of the record.' }),
      }),
    ),
  })
  .meta({ id: 'Evidence' });

export const health = z.strictObject({ status: z.literal('alive') }).meta({ id: 'Health' });

const upOrDown = z.enum(['up', 'down']);
export const readiness = z
  .strictObject({
    ready: z.boolean(),
    database: upOrDown,
    temporal: upOrDown.meta({ description: 'Reported and not required.' }),
  })
  .meta({ id: 'Readiness' });
