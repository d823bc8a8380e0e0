import { z } from 'zod';
import { IDENTIFIER } from '../domain/order.ts';
import { externalOrderNumber, walletName } from './requests.ts';
import { buyCoinMode, currencyCode, depositStanding, depositState } from './states.ts';

/** The API's responses. The schemas type what is sent and are part of the document; tests check responses by them. */

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

export const postingId = (description: string) =>
  z
    .string()
    .regex(/^\d+$/)
    .meta({ description, examples: ['17'] });
/** The name of a case, which is the id of its workflow. */
const caseName = text('The case in which operators decide about it.');

const creditAnswer = z
  .strictObject({
    postingId: postingId('The posting.'),
    amount: decimal('The amount that the wallet received, MTC.'),
    rest: decimal(
      'The part of the payment that stays in suspense, because only the ordered amount was credited; null: none.',
    ).nullable(),
    wallet: walletName,
    transactionCode: text('The provider’s name of the payment that the money came with.').nullable(),
    how: z.enum(['machine', 'people']).meta({ description: 'Who credited it: `machine`, or operators (`people`).' }),
    at: time('When it was posted.'),
    reversed: z
      .strictObject({
        postingId: postingId('The posting that took it out of the wallet.'),
        at: time('When.'),
        kept: z.boolean().meta({
          description: 'Whether it went to suspense, because only the wallet was wrong, and not to the provider.',
        }),
      })
      .nullable()
      .meta({ description: 'Set when it was taken out of the wallet. Money that came back is another credit.' }),
  })
  .meta({ id: 'Credit' });
export type CreditAnswer = z.output<typeof creditAnswer>;
export const credits = z.array(creditAnswer).meta({
  description:
    'Every posting that put money into a wallet for this deposit, oldest first. Credits by operators after the deposit was final are included.',
});
export const creditedAmount = decimal(
  'The sum in wallets for this deposit, MTC; null before any credit, "0" when all of it was taken out.',
).nullable();

export const depositAnswer = z
  .strictObject({
    externalOrderNumber,
    wallet: walletName,
    state: depositState,
    final: z.boolean().meta({
      description: 'Whether the state is final. The money in wallets may still change: see `standing` and `credits`.',
    }),
    refusal: z
      .strictObject({
        code: text('As in the 422 of the create: the provider’s statusCode, NOT_SENT or TOO_LATE.'),
        message: text('An explanation for readers.'),
      })
      .nullable()
      .meta({ description: 'Why the order was refused; only in state PLACEMENT_REFUSED.' }),
    late: z.boolean().meta({ description: 'Whether the payment came after the payment window.' }),
    buyCoinMode,
    mtcAmount: decimal('MTC asked for; null in mode PaymentPrice.').nullable(),
    totalPrice: decimal('The price asked for; null in mode MtcAmount.').nullable(),
    currencyCode,
    redirectUrl: text('The checkout; null until the order is placed.').nullable(),
    advertisementCode: text('The provider’s matched offer; not unique.').nullable(),
    createdAt: time('When the deposit was accepted.'),
    expiresAt: time('When the payment window ends.').nullable(),
    listeningUntil: time('Until when a callback is accepted.').nullable(),
    transactionCode: text('The provider’s name of the payment.').nullable(),
    standing: depositStanding,
    creditedAmount,
    credits,
    otherPayments: z
      .array(
        z.strictObject({
          case: caseName,
          reason: text('Why an operator has to decide.'),
          openedAt: time('When the case was opened.'),
          transactionCode: text('The provider’s name of the payment; null when it could not be read.').nullable(),
          amount: decimal('MTC received; null when it could not be read.').nullable(),
        }),
      )
      .meta({ description: 'Other payments of this order number that wait for an operator.' }),
    attempts: z
      .strictObject({
        count: z.int().min(0).meta({ description: 'Callbacks received for this deposit, repeats included.' }),
        lastAt: time('When the last came.').nullable(),
        nextExpectedAt: time('When the next is due; null: none is expected.').nullable(),
      })
      .meta({ description: 'The callbacks of the provider.' }),
    reversal: z
      .strictObject({
        postingId: text('The posting that took the credit back.'),
        at: time('When.'),
        kept: z.boolean().meta({ description: 'Whether the money is in suspense.' }),
      })
      .optional()
      .meta({
        description:
          'Present while the credit that ended the deposit is out of its wallet. `kept`: it is in suspense, and not with the provider or in another wallet.',
      }),
    review: z
      .strictObject({ reason: text('Why an operator has to decide.') })
      .nullable()
      .meta({ description: 'Set while an operator decides, and afterwards.' }),
    workflowId: text('The deposit’s workflow in Temporal.'),
    webUi: text('The workflow in Temporal’s Web UI, where one is configured.').nullable(),
  })
  .meta({ id: 'Deposit' });
export type DepositAnswer = z.output<typeof depositAnswer>;

export const depositList = z
  .strictObject({
    items: z.array(depositAnswer).meta({ description: 'At most `limit`.' }),
    nextCursor: text('Where the next page begins; null on the last.').nullable(),
  })
  .meta({ id: 'DepositList' });

export const walletAnswer = z
  .strictObject({
    wallet: z.string().regex(IDENTIFIER).meta({ description: 'The wallet that was asked for.' }),
    balance: decimal('The balance of the wallet, MTC; "0" for an unknown wallet.'),
    postings: z
      .array(
        z.strictObject({
          postingId: postingId('The posting.'),
          kind: text('The kind of the posting.'),
          externalOrderNumber: externalOrderNumber.nullable().meta({ description: 'The deposit; null: none.' }),
          transactionCode: text(
            'The provider’s name of the payment that the money came with; also for a release and a reversal.',
          ).nullable(),
          amount: decimal('The change of the balance, MTC; negative takes away.'),
          postedAt: time('When it was posted.'),
        }),
      )
      .readonly()
      .meta({ description: 'The newest 100, newest first.' }),
  })
  .meta({ id: 'Wallet' });

export const evidenceFields = {
  externalOrderNumber,
  lines: z
    .array(
      z.strictObject({
        at: z.string().meta({ description: 'When. RFC 3339, UTC.', format: 'date-time' }),
        source: text('The record that states it.'),
        text: text('What happened, in words.'),
        hash: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .meta({ description: 'sha256 of the record.' }),
      }),
    )
    .meta({ description: 'One for each record.' }),
};

export const health = z
  .strictObject({ status: z.literal('alive').meta({ description: 'The process runs.' }) })
  .meta({ id: 'Health' });

const upOrDown = (description: string) => z.enum(['up', 'down']).meta({ description });
export const readiness = z
  .strictObject({
    ready: z.boolean().meta({ description: 'Whether requests should be sent here.' }),
    database: upOrDown('Whether the database accepts changes: `up` or `down`.'),
    temporal: upOrDown('Whether Temporal answers: `up` or `down`. Reported; readiness does not depend on it.'),
    withoutEffectMs: z
      .int()
      .min(0)
      .nullable()
      .meta({
        description:
          'Age of the oldest acknowledged callback without an outcome after two minutes: the workers, or Temporal, do not ' +
          'work. Reported; readiness does not depend on it. Null: there is none, or the database is away.',
      }),
  })
  .meta({ id: 'Readiness' });

/** The example of a credit in the document, for a deposit and for a case. */
export const CREDIT_EXAMPLE = {
  postingId: '17',
  amount: '5000',
  rest: null,
  wallet: 'wallet-42',
  transactionCode: 'ATUQXFSR87N9R6TM8',
  how: 'machine',
  at: '2026-01-31T09:41:07.301Z',
  reversed: null,
};
