import { z } from 'zod';
import { DECISIONS, isReason } from '../domain/decision.ts';
import { parseFiat, parseMtc } from '../domain/money.ts';
import { STEP_OUTCOMES } from '../domain/decision-steps.ts';
import { credits, creditedAmount, decimal, text, time } from './answers.ts';
import { amount, CONTROLS, CURSOR_TIME, externalOrderNumber, pageLimit, SPACES, walletName } from './requests.ts';
import { buyCoinMode, currencyCode, decision, depositStanding, depositState, moneyStanding } from './states.ts';

/** Requests and responses of the review endpoints. The operator is the name of the personal key, and in no request. */

const REASON = 'expected 3 to 1000 characters on one line';
/** At least three characters; spaces at either end do not count. */
const LINE = new RegExp(`^[${SPACES}]*[^${CONTROLS}${SPACES}][^${CONTROLS}]+[^${CONTROLS}${SPACES}][${SPACES}]*$`, 'u');
const reason = z
  .string()
  .refine((given) => LINE.test(given) && isReason(given), REASON)
  .transform((given) => given.normalize('NFC').trim())
  .refine((given) => isReason(given), REASON)
  .meta({
    description:
      'Why, in any script, on one line; a character beyond U+FFFF counts twice. Stored for years: no names of customers.',
    examples: ['paid twice, stands in the statement twice'],
    wire: { type: 'string', minLength: 3, maxLength: 1000, pattern: LINE.source },
  });
const rowId = (description: string) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,17}$/, 'expected the number of a row, as a string')
    .meta({ description, examples: ['7'] });
const toDeposit = externalOrderNumber.meta({ description: 'Credit only: the deposit whose wallet gets the money.' });

const CASE = '(?:deposit:[A-Za-z0-9_-]{1,64}|review:[1-9][0-9]{0,17}(?:-[0-9a-f]{8})?(?::reversal:[1-9][0-9]{0,5})?)';
export const caseId = z
  .string()
  .regex(new RegExp(`^${CASE}$`), 'expected deposit:ORDER, review:ROW or review:ROW:reversal:K')
  .meta({ description: 'The case, which is the id of its workflow.', examples: ['review:12-5f0c9a3e'] });

const facts = z
  .strictObject({
    transactionCode: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected 1 to 64 of A-Z a-z 0-9 _ -')
      .meta({ description: 'The provider’s name of the payment.', examples: ['ATSA5XKQ1B7N2R9TM3'] }),
    amount: amount(parseMtc, 8, 'MTC received.', '5000'),
    currencyCode,
    paymentPrice: amount(parseFiat, 2, 'The price paid.', '36000'),
    statementLine: z
      .string()
      .regex(new RegExp(`^[^${CONTROLS}]{1,200}$`, 'u'), 'expected 1 to 200 characters on one line')
      .optional()
      .meta({ description: 'The line of the statement that has it. No names of customers.' }),
  })
  .transform(({ statementLine = null, ...read }) => ({ ...read, statementLine }))
  .meta({
    id: 'StatedFacts',
    description:
      'Only to credit an unreadable callback: the payment as this operator reads it in the provider’s statement. Two people state it, each independently, and no money moves unless they agree.',
  });

/** Both, or neither. The operator's own device makes them: `npm run sign`. */
const signed = {
  signature: z
    .string()
    .regex(/^[A-Za-z0-9_-]{86}$/, 'expected an Ed25519 signature, 64 bytes as base64url')
    .transform((text) => Buffer.from(text, 'base64url'))
    .optional()
    .meta({
      description:
        'The signature of the operator’s own device over this step (docs/guides/reviews.md#signatures); requires `nonce`.',
      wire: { type: 'string', pattern: '^[A-Za-z0-9_-]{86}$' },
    }),
  nonce: z
    .string()
    .regex(/^[A-Za-z0-9_-]{21}[AQgw]$/, 'expected 16 random bytes as base64url')
    .optional()
    .meta({ description: 'The nonce of the signature; it is used once.', examples: ['q0VnR1mJQ3u8c1b6v2d3eQ'] }),
};
export const proposeBody = z
  .strictObject({
    decision,
    reason,
    keep: z
      .boolean()
      .default(false)
      .meta({ description: 'Reverse only: the money goes to suspense, because only the wallet was wrong.' }),
    toDeposit: toDeposit.optional(),
    beside: rowId(
      'For a wallet that already has another payment of the deposit: the posting of that payment, as the case shows it.',
    ).optional(),
    onlyOrdered: z.boolean().optional().meta({
      description:
        'Credit only, for a deposit that ordered MTC and received more: the wallet gets the ordered amount, and the rest stays in suspense as part of the posting.',
    }),
    facts: facts.optional(),
    ...signed,
  })
  .meta({ id: 'Propose', examples: [{ decision: 'credit', reason: 'stands in the statement' }] });
export const confirmBody = z
  .strictObject({ proposal: rowId('The proposal that the operator read.'), facts: facts.optional(), ...signed })
  .meta({ id: 'Confirm', examples: [{ proposal: '7' }] });
export const withdrawBody = z
  .strictObject({ proposal: rowId('The proposal that the operator read.'), reason, ...signed })
  .meta({ id: 'Withdraw', examples: [{ proposal: '7', reason: 'another transaction was meant' }] });

const ONE_OF_THREE = ['externalOrderNumber', 'postingId', 'case'] as const;
/** The subject of a doubt: the credit of a deposit, a posting, or the decision of a closed case. */
export const doubtBody = z
  .strictObject({
    externalOrderNumber: externalOrderNumber.optional(),
    postingId: rowId('A posting of the money.').optional(),
    case: caseId.optional(),
    reason,
  })
  .refine((body) => ONE_OF_THREE.filter((field) => body[field] !== undefined).length === 1, {
    message: 'expected exactly one of externalOrderNumber, postingId and case',
  })
  .meta({
    id: 'Doubt',
    description:
      'Exactly one of three: a credit by its deposit, a credit by a posting of its money, or the decision of a closed case.',
    examples: [{ externalOrderNumber: 'order-1001', reason: 'the provider recalled it' }],
    oneOf: ONE_OF_THREE.map((field) => ({
      properties: Object.fromEntries(ONE_OF_THREE.filter((other) => other !== field).map((other) => [other, false])),
      required: [field],
    })),
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
    .meta({ description: 'Cases that wait for a decision, or decided ones.' }),
  reason: z
    .string()
    .regex(/^[A-Z_]{3,40}$/, 'expected a reason such as SECOND_CODE')
    .optional()
    .meta({ description: 'Only cases with this reason.', examples: ['SECOND_CODE'] }),
  cursor: cursor.optional(),
  limit: pageLimit,
});

const keep = z.boolean().meta({ description: 'Reverse only: whether the money goes to suspense.' });
const onlyOrdered = z.boolean().meta({ description: 'Credit only: whether the wallet gets the ordered amount alone.' });

const proposal = z.strictObject({
  id: rowId('The id that confirm and withdraw name.'),
  decision,
  reason: text('Why.'),
  operator: text('Who proposed it.'),
  keep,
  toDeposit: toDeposit.nullable(),
  beside: rowId('The posting that the operator saw, beside which the money is to go.').nullable(),
  onlyOrdered,
  signature: text(
    'The signature of the operator’s own device, base64url; a confirmation’s signature covers it.',
  ).nullable(),
  at: time('When.'),
});

const caseFields = {
  id: caseId,
  state: z.enum(['open', 'closed']).meta({ description: '`open`: it waits for a decision. `closed`: it is decided.' }),
  reason: text('Why a machine must not credit it.'),
  detail: text('The numbers behind the reason.'),
  openedAt: time('When the case was opened.'),
  openedBy: text('The operator who doubts a credit.').nullable(),
  inboxId: rowId('The inbox row.'),
  externalOrderNumber,
  wallet: walletName.nullable(),
  receivedAt: time('When the callback came.'),
  sealed: z.boolean().nullable().meta({
    description:
      'Whether the seal proves that the API wrote the inbox row. `false`: its writer is unknown, and it cannot be credited. Null: it is older than seals.',
  }),
  contentHash: text('sha256 of the callback’s content, hex; a signature covers it.'),
  transactionCode: text('The provider’s name of the payment.').nullable(),
  transactionAmount: decimal('MTC received; null when it could not be read.').nullable(),
  currencyCode: text('The currency of the payment.').nullable(),
  paymentPrice: decimal('The price paid.').nullable(),
  standing: moneyStanding.nullable().meta({ description: 'Where the books have its money; null once decided.' }),
  newestCredit: rowId(
    'The newest credit that is still in a wallet for the claimed deposit; null: none is. A decision that puts another payment into that wallet names it as `beside`.',
  ).nullable(),
  allowed: z.array(decision).readonly().meta({ description: 'The possible decisions.' }),
  needsTwo: z.boolean().meta({ description: 'Whether two different people have to agree.' }),
  reviewLimit: decimal('MTC up to which one person suffices.'),
  proposal: proposal.nullable().meta({ description: 'The proposal that waits to be confirmed; null: none.' }),
  decision: decision.nullable().meta({ description: 'The decision; null while the case is open.' }),
  decidedBy: text('Who decided, joined by +.').nullable(),
  decidedAt: time('When.').nullable(),
  postingId: text('The posting of the decision.').nullable(),
};

const step = z.strictObject({
  id: rowId('The row.'),
  step: z.enum(['propose', 'confirm', 'withdraw']).meta({
    description: '`propose`: a decision is proposed. `confirm`: a proposal is confirmed. `withdraw`: it is taken back.',
  }),
  decision: decision.nullable().meta({ description: 'The proposed decision; null for the other steps.' }),
  proposal: text('The proposal that is confirmed or withdrawn.').nullable(),
  keep,
  toDeposit: toDeposit.nullable(),
  beside: rowId('The posting that the operator saw.').nullable(),
  onlyOrdered,
  reason: text('Why.').nullable(),
  operator: text('Who took it.'),
  at: time('When.'),
  facts: z
    .strictObject({
      transactionCode: text('The provider’s name of the payment.'),
      amount: decimal('MTC received.'),
      currencyCode,
      paymentPrice: decimal('The price paid.'),
      statementLine: text('The line of the statement that has it.').nullable(),
    })
    .nullable()
    .meta({
      description:
        'The facts that the operator read in the provider’s statement. Shown once a posting has them; until then each of the two reads independently.',
    }),
  outcome: z.enum(STEP_OUTCOMES).meta({
    description:
      '`carried`: it took effect. `refused`: it had no effect, see `refusal`. `withdrawn`: a proposal that was taken back. `waiting`: an unconfirmed proposal, or a confirmation that is being carried out.',
  }),
  refusal: text('Why it was refused: a code of the 409.').nullable(),
});

const otherPayment = z.strictObject({
  inboxId: rowId('Its inbox row.'),
  transactionCode: text('The provider’s name of the payment; null when it could not be read.').nullable(),
  amount: decimal('MTC received; null when it could not be read.').nullable(),
  currencyCode: text('The currency of the payment.').nullable(),
  paymentPrice: decimal('The price paid.').nullable(),
  receivedAt: time('When the callback came.'),
  case: caseId.nullable(),
  outcome: z
    .enum(['open', 'credited', ...DECISIONS])
    .nullable()
    .meta({
      description:
        '`open`: an operator has to decide. `credited`: by the machine. A decision: by operators. Null: none of these yet.',
    }),
});

export const reviewCase = z
  .strictObject({
    ...caseFields,
    deposit: z
      .strictObject({
        state: depositState,
        final: z.boolean().meta({ description: 'Whether the state is final.' }),
        buyCoinMode,
        mtcAmount: decimal('MTC asked for; null in mode PaymentPrice.').nullable(),
        totalPrice: decimal('The price asked for; null in mode MtcAmount.').nullable(),
        currencyCode,
        standing: depositStanding,
        creditedAmount,
      })
      .nullable()
      .meta({ description: 'The claimed deposit: its state, and its order. Null: there is none.' }),
    credits,
    otherPayments: z.array(otherPayment).meta({ description: 'Other callbacks of this order number, oldest first.' }),
    warnings: z.array(z.string()).meta({
      description:
        'A warning for operators, with both numbers: the payment is at least twice, or at most half, of the order. For an unreadable callback it uses the facts that the proposing operator states; others see it once a posting has these facts.',
    }),
    steps: z.array(step).meta({ description: 'Every step of an operator, including refused ones.' }),
  })
  .meta({ id: 'Case' });

export const caseList = z
  .strictObject({
    items: z.array(z.strictObject(caseFields)).meta({ description: 'At most `limit`.' }),
    nextCursor: text('Where the next page begins; null on the last.').nullable(),
  })
  .meta({ id: 'CaseList' });
