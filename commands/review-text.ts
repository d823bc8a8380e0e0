import type { ReviewCase, ReviewPage } from '../client/src/client.ts';

/** Cases as the terminal shows them. */

type ListedCase = ReviewPage['items'][number];

const money = (found: ListedCase): string => paid(found.transactionAmount, found.paymentPrice, found.currencyCode);
const paid = (amount: string | null, price: string | null, currency: string | null): string =>
  amount === null ? 'no amount to be read' : `${amount} MTC for ${price} ${currency}`;

/** One line of a list. */
export function line(found: ListedCase): string {
  const waits =
    found.proposal === null
      ? (found.decidedBy ?? 'no proposal')
      : `${found.proposal.decision} proposed by ${found.proposal.operator}`;
  return [found.openedAt, found.id, found.reason, money(found), found.wallet ?? 'no wallet', waits].join('  ');
}

/** All facts of a case. */
export function showCaseText(found: ReviewCase): string {
  const lines: [string, string | null][] = [
    ['case', `${found.id} (${found.state})`],
    ['reason', found.detail === '' ? found.reason : `${found.reason}: ${found.detail}`],
    ['deposit', found.externalOrderNumber],
    ['wallet', found.wallet],
    ['money', money(found)],
    ['transaction', found.transactionCode],
    ['received', found.receivedAt],
    ['warning', found.sealed === false ? 'the API did not write this row: nobody knows who did' : null],
    ...(found.deposit === null ? [] : describeDeposit(found.deposit)),
    ...found.credits.map((made): [string, string] => ['credit', describeCredit(made)]),
    ['newest credit', found.newestCredit === null ? null : `posting ${found.newestCredit}`],
    ...found.otherPayments.map((other): [string, string] => ['other payment', describeOther(other)]),
    ['in the books', found.standing],
    ['may be decided', found.allowed.join(', ') || null],
    ['takes', found.needsTwo ? 'two people' : 'one person'],
    ...found.warnings.map((warning): [string, string] => ['warning', warning]),
    ...(found.proposal === null ? [] : describeProposal(found.proposal)),
    [
      'decided',
      found.decision === null
        ? null
        : `${found.decision} by ${found.decidedBy} at ${found.decidedAt}, posting ${found.postingId ?? 'none'}`,
    ],
    ...found.steps.map((taken): [string, string] => ['step', describeStep(taken)]),
  ];
  return lines.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(15)} ${value}`])).join('\n');
}

const describeDeposit = (deposit: NonNullable<ReviewCase['deposit']>): [string, string][] => [
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
}: ReviewCase['credits'][number]): string {
  const out =
    reversed === null
      ? ''
      : `; taken out ${reversed.kept ? 'into suspense ' : ''}at ${reversed.at}, posting ${reversed.postingId}`;
  const waits = rest === null ? '' : ` (${rest} MTC more in suspense)`;
  return `posting ${postingId}: ${amount} MTC${waits} to ${wallet} by ${how} at ${at}, transaction ${transactionCode ?? 'unknown'}${out}`;
}

const describeOther = (other: ReviewCase['otherPayments'][number]): string =>
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
}: ReviewCase['steps'][number]): string {
  const read =
    stated === null
      ? null
      : `${stated.transactionCode}, ${paid(stated.amount, stated.paymentPrice, stated.currencyCode)}` +
        (stated.statementLine === null ? '' : `, ${stated.statementLine}`);
  const outcome = came.refusal === null ? came.outcome : `${came.outcome}: ${came.refusal}`;
  return [at, operator, kind, decision, reason, read, outcome].filter((word) => word !== null).join('  ');
}

function describeProposal(waiting: NonNullable<ReviewCase['proposal']>): [string, string][] {
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
