import { z } from 'zod';
import { DECISIONS, isReason, STANDINGS } from '../domain/decision.ts';
import { decimal, text, time } from './answers.ts';
import { CONTROLS, CURSOR_TIME, externalOrderNumber, pageLimit, SPACES, walletName } from './schemas.ts';

/** What the review endpoints accept and answer. The operator is in no request: it is the name of the personal key. */

const REASON = 'expected 3 to 1000 characters on one line';
/** Three characters at least, spaces at either end not counted. */
const LINE = new RegExp(`^[${SPACES}]*[^${CONTROLS}${SPACES}][^${CONTROLS}]+[^${CONTROLS}${SPACES}][${SPACES}]*$`, 'u');
const reason = z
  .string()
  .refine((given) => LINE.test(given) && isReason(given), REASON)
  .transform((given) => given.normalize('NFC').trim())
  .refine((given) => isReason(given), REASON)
  .meta({
    description:
      'Why, in any script, on one line; what lies beyond U+FFFF counts twice. Kept for years: no names of customers.',
    examples: ['paid twice, stands in the statement twice'],
    wire: { type: 'string', minLength: 3, maxLength: 1000, pattern: LINE.source },
  });
const rowId = (description: string) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,17}$/, 'expected the number of a row, as a string')
    .meta({ description, examples: ['7'] });
const toDeposit = externalOrderNumber.meta({ description: 'Credit only: the deposit whose wallet gets the money.' });

const CASE = '(?:deposit:[A-Za-z0-9_-]{1,64}|review:[1-9][0-9]{0,17}(?::reversal:[1-9][0-9]{0,5})?)';
export const caseId = z
  .string()
  .regex(new RegExp(`^${CASE}$`), 'expected deposit:ORDER, review:ROW or review:ROW:reversal:K')
  .meta({ description: 'The case, which is the id of its workflow.', examples: ['review:12'] });

export const proposeBody = z
  .strictObject({
    decision: z.enum(DECISIONS),
    reason,
    keep: z
      .boolean()
      .default(false)
      .meta({ description: 'Reverse only: into suspense, because only the wallet was wrong.' }),
    toDeposit: toDeposit.optional(),
  })
  .meta({ id: 'Propose', examples: [{ decision: 'credit', reason: 'stands in the statement' }] });
export const confirmBody = z
  .strictObject({ proposal: rowId('The proposal you have read.') })
  .meta({ id: 'Confirm', examples: [{ proposal: '7' }] });
export const withdrawBody = z
  .strictObject({ proposal: rowId('The proposal you have read.'), reason })
  .meta({ id: 'Withdraw', examples: [{ proposal: '7', reason: 'another transaction was meant' }] });

/** A credit in doubt: by the deposit whose own credit it is, or by its posting. */
export const doubtBody = z
  .strictObject({
    externalOrderNumber: externalOrderNumber.optional(),
    postingId: rowId('The posting of the credit.').optional(),
    reason,
  })
  .refine((body) => (body.externalOrderNumber === undefined) !== (body.postingId === undefined), {
    message: 'expected either externalOrderNumber or postingId',
  })
  .meta({
    id: 'Doubt',
    description: 'A credit, by its deposit or by its posting: exactly one of the two.',
    examples: [{ externalOrderNumber: 'order-1001', reason: 'the provider recalled it' }],
    oneOf: [
      { properties: { postingId: false }, required: ['externalOrderNumber'] },
      { properties: { externalOrderNumber: false }, required: ['postingId'] },
    ],
  });
export type DoubtBody = z.output<typeof doubtBody>;

const CURSOR = new RegExp(`^(${CURSOR_TIME})~(${CASE})$`);
const cursor = z
  .string()
  .regex(CURSOR, 'not a cursor of ours: use nextCursor of the previous page')
  .transform((given) => {
    const [, openedAt, workflowId] = CURSOR.exec(given)!;
    return { openedAt: openedAt!, workflowId: workflowId! };
  })
  .meta({
    description: 'Where the page begins: nextCursor of the page before.',
    examples: ['2026-01-31T09:30:00.000001Z~review:12'],
  });
export const encodeCaseCursor = (end: { readonly openedAt: string; readonly workflowId: string }): string =>
  `${end.openedAt}~${end.workflowId}`;

export const caseQuery = z.strictObject({
  state: z
    .enum(['open', 'closed'])
    .default('open')
    .meta({ description: 'Cases that wait, or those that are decided.' }),
  reason: z
    .string()
    .regex(/^[A-Z_]{3,40}$/, 'expected a reason such as SECOND_CODE')
    .optional()
    .meta({ description: 'Only cases with this reason.', examples: ['SECOND_CODE'] }),
  cursor: cursor.optional(),
  limit: pageLimit,
});

const proposal = z.strictObject({
  id: rowId('What confirm and withdraw name.'),
  decision: z.enum(DECISIONS),
  reason: text('Why.'),
  operator: text('Who proposed it.'),
  keep: z.boolean(),
  toDeposit: toDeposit.nullable(),
  at: time('When.'),
});

const caseFields = {
  id: caseId,
  state: z.enum(['open', 'closed']),
  reason: text('Why a machine must not credit it.'),
  detail: text('The numbers behind the reason.'),
  openedAt: time('When the case was opened.'),
  openedBy: text('The operator who doubts a credit.').nullable(),
  inboxId: rowId('The inbox row.'),
  externalOrderNumber,
  wallet: walletName.nullable(),
  receivedAt: time('When the callback came.'),
  transactionCode: text('The provider’s name of the payment.').nullable(),
  transactionAmount: decimal('MTC received; null when it could not be read.').nullable(),
  currencyCode: text('What was paid in.').nullable(),
  paymentPrice: decimal('What was paid.').nullable(),
  standing: z.enum(STANDINGS).nullable().meta({ description: 'What the books hold for it; null once decided.' }),
  allowed: z.array(z.enum(DECISIONS)).readonly().meta({ description: 'What can be decided.' }),
  needsTwo: z.boolean().meta({ description: 'Whether two different people have to agree.' }),
  reviewLimit: decimal('MTC up to which one person suffices.'),
  proposal: proposal.nullable(),
  decision: z.enum(DECISIONS).nullable(),
  decidedBy: text('Who decided, joined by +.').nullable(),
  decidedAt: time('When.').nullable(),
  postingId: text('What the decision posted.').nullable(),
};

export const reviewCase = z
  .strictObject({
    ...caseFields,
    steps: z
      .array(
        z.strictObject({
          id: rowId('The row.'),
          step: z.enum(['propose', 'confirm', 'withdraw']),
          decision: z.enum(DECISIONS).nullable(),
          proposal: text('The proposal that is confirmed or withdrawn.').nullable(),
          keep: z.boolean(),
          toDeposit: toDeposit.nullable(),
          reason: text('Why.').nullable(),
          operator: text('Who took it.'),
          at: time('When.'),
        }),
      )
      .meta({ description: 'Every step somebody took, those that were refused too.' }),
  })
  .meta({ id: 'Case' });

export const caseList = z
  .strictObject({
    items: z.array(z.strictObject(caseFields)),
    nextCursor: text('Where the next page begins; null on the last.').nullable(),
  })
  .meta({ id: 'CaseList' });
