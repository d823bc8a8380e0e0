import { z } from 'zod';

/** Cases as the terminal shows them. */

const proposal = z.object({
  id: z.string(),
  decision: z.string(),
  reason: z.string(),
  operator: z.string(),
  keep: z.boolean(),
  toDeposit: z.string().nullable(),
  beside: z.string().nullable(),
  onlyOrdered: z.boolean(),
  signature: z.string().nullable().optional(),
  at: z.string(),
});
const facts = z.object({
  transactionCode: z.string(),
  amount: z.string(),
  currencyCode: z.string(),
  paymentPrice: z.string(),
  statementLine: z.string().nullable(),
});
const step = z.object({
  step: z.string(),
  operator: z.string(),
  at: z.string(),
  decision: z.string().nullable(),
  reason: z.string().nullable(),
  facts: facts.nullable(),
  outcome: z.string(),
  refusal: z.string().nullable(),
});
const asked = z.object({
  state: z.string(),
  mtcAmount: z.string().nullable(),
  totalPrice: z.string().nullable(),
  currencyCode: z.string(),
  standing: z.string(),
  creditedAmount: z.string().nullable(),
});
const credit = z.object({
  postingId: z.string(),
  amount: z.string(),
  rest: z.string().nullable(),
  wallet: z.string(),
  transactionCode: z.string().nullable(),
  how: z.string(),
  at: z.string(),
  reversed: z.object({ postingId: z.string(), at: z.string(), kept: z.boolean() }).nullable(),
});
const otherPayment = z.object({
  transactionCode: z.string().nullable(),
  amount: z.string().nullable(),
  currencyCode: z.string().nullable(),
  paymentPrice: z.string().nullable(),
  receivedAt: z.string(),
  case: z.string().nullable(),
  outcome: z.string().nullable(),
});
/** The API's response about a case, as far as it is shown. */
export const caseText = z.object({
  id: z.string(),
  state: z.string(),
  reason: z.string(),
  detail: z.string(),
  openedAt: z.string(),
  externalOrderNumber: z.string(),
  wallet: z.string().nullable(),
  transactionCode: z.string().nullable(),
  transactionAmount: z.string().nullable(),
  currencyCode: z.string().nullable(),
  paymentPrice: z.string().nullable(),
  receivedAt: z.string(),
  /** Absent in responses of older APIs. */
  sealed: z.boolean().nullable().optional(),
  contentHash: z.string().optional(),
  standing: z.string().nullable(),
  newestCredit: z.string().nullable(),
  allowed: z.array(z.string()),
  needsTwo: z.boolean(),
  proposal: proposal.nullable(),
  decision: z.string().nullable(),
  decidedBy: z.string().nullable(),
  decidedAt: z.string().nullable(),
  postingId: z.string().nullable(),
  // Only for a case that is requested alone.
  deposit: asked.nullable().optional(),
  credits: z.array(credit).optional(),
  otherPayments: z.array(otherPayment).optional(),
  warnings: z.array(z.string()).optional(),
  steps: z.array(step).optional(),
});
export type CaseText = z.infer<typeof caseText>;
export const page = z.object({ items: z.array(caseText), nextCursor: z.string().nullable() });

const money = (found: CaseText): string => paid(found.transactionAmount, found.paymentPrice, found.currencyCode);
const paid = (amount: string | null, price: string | null, currency: string | null): string =>
  amount === null ? 'no amount to be read' : `${amount} MTC for ${price} ${currency}`;

/** One line of a list. */
export function line(found: CaseText): string {
  const waits =
    found.proposal === null
      ? (found.decidedBy ?? 'no proposal')
      : `${found.proposal.decision} proposed by ${found.proposal.operator}`;
  return [found.openedAt, found.id, found.reason, money(found), found.wallet ?? 'no wallet', waits].join('  ');
}

/** All facts of a case. */
export function showCaseText(found: CaseText): string {
  const lines: [string, string | null][] = [
    ['case', `${found.id} (${found.state})`],
    ['reason', found.detail === '' ? found.reason : `${found.reason}: ${found.detail}`],
    ['deposit', found.externalOrderNumber],
    ['wallet', found.wallet],
    ['money', money(found)],
    ['transaction', found.transactionCode],
    ['received', found.receivedAt],
    ['warning', found.sealed === false ? 'the API did not write this row: nobody knows who did' : null],
    ...(found.deposit === undefined || found.deposit === null ? [] : describeDeposit(found.deposit)),
    ...(found.credits ?? []).map((made): [string, string] => ['credit', describeCredit(made)]),
    ['newest credit', found.newestCredit === null ? null : `posting ${found.newestCredit}`],
    ...(found.otherPayments ?? []).map((other): [string, string] => ['other payment', describeOther(other)]),
    ['in the books', found.standing],
    ['may be decided', found.allowed.join(', ') || null],
    ['takes', found.needsTwo ? 'two people' : 'one person'],
    ...(found.warnings ?? []).map((warning): [string, string] => ['warning', warning]),
    ...(found.proposal === null ? [] : describeProposal(found.proposal)),
    [
      'decided',
      found.decision === null
        ? null
        : `${found.decision} by ${found.decidedBy} at ${found.decidedAt}, posting ${found.postingId ?? 'none'}`,
    ],
    ...(found.steps ?? []).map((taken): [string, string] => ['step', describeStep(taken)]),
  ];
  return lines.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(15)} ${value}`])).join('\n');
}

const describeDeposit = (deposit: z.infer<typeof asked>): [string, string][] => [
  ['its state', deposit.state],
  [
    'it asked for',
    deposit.mtcAmount === null ? `${deposit.totalPrice} ${deposit.currencyCode}` : `${deposit.mtcAmount} MTC`,
  ],
  ['in wallets', `${deposit.creditedAmount ?? '0'} MTC (${deposit.standing})`],
];

function describeCredit({
  postingId,
  amount,
  rest,
  wallet,
  transactionCode,
  how,
  at,
  reversed,
}: z.infer<typeof credit>): string {
  const out =
    reversed === null
      ? ''
      : `; taken out ${reversed.kept ? 'into suspense ' : ''}at ${reversed.at}, posting ${reversed.postingId}`;
  const waits = rest === null ? '' : ` (${rest} MTC more in suspense)`;
  return `posting ${postingId}: ${amount} MTC${waits} to ${wallet} by ${how} at ${at}, transaction ${transactionCode ?? 'unknown'}${out}`;
}

const describeOther = (other: z.infer<typeof otherPayment>): string =>
  [
    other.receivedAt,
    other.transactionCode ?? 'no code to be read',
    paid(other.amount, other.paymentPrice, other.currencyCode),
    other.case ?? 'no case',
    other.outcome ?? 'nothing yet',
  ].join('  ');

function describeStep({
  at,
  operator,
  step: kind,
  decision,
  reason,
  facts: stated,
  ...came
}: z.infer<typeof step>): string {
  const read =
    stated === null
      ? null
      : `${stated.transactionCode}, ${paid(stated.amount, stated.paymentPrice, stated.currencyCode)}` +
        (stated.statementLine === null ? '' : `, ${stated.statementLine}`);
  const outcome = came.refusal === null ? came.outcome : `${came.outcome}: ${came.refusal}`;
  return [at, operator, kind, decision, reason, read, outcome].filter((word) => word !== null).join('  ');
}

function describeProposal(waiting: z.infer<typeof proposal>): [string, string][] {
  const kept = waiting.keep ? ', kept in suspense' : '';
  const only = waiting.onlyOrdered ? ' of what was ordered, and no more' : '';
  const to = waiting.toDeposit === null ? '' : `, to the wallet of ${waiting.toDeposit}`;
  const beside = waiting.beside === null ? '' : `, beside posting ${waiting.beside}`;
  return [
    [
      'proposal',
      `${waiting.id}: ${waiting.decision}${only}${kept}${to}${beside}, by ${waiting.operator} at ${waiting.at}`,
    ],
    ['its reason', waiting.reason],
  ];
}
