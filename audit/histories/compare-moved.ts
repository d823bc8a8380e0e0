import { actorOf, restOf, type DecisionAnswer } from '../../domain/decision.ts';
import type { Payment } from '../../domain/order.ts';
import { type Comparison, expectPosting, placeOf, received, providerIn } from './comparing.ts';
import type { DecisionPair, SubjectRecord } from './compare-people.ts';
import type { PostingRecord, StatedRecord, StepRecord } from '../tables/rows.ts';
import { creditKey, clearingOf, suspenseOf, parkKey } from '../../domain/ids.ts';

type Carried = Exclude<DecisionAnswer, { kind: 'refused' }>;
type Money = Omit<Payment, 'inboxId' | 'receivedAt'>;

/**
 * Money that a decision booked before it went to a wallet: the received amount or, for an unreadable payment, the facts
 * that both operators stated. This posting into suspense counts by itself, whatever the result of the proposal.
 */
export function compareBroughtIn(on: Comparison, subject: SubjectRecord, credits: readonly DecisionPair[]): void {
  if (credits.length === 0) return;
  const provider = providerIn(on.facts);
  const before = on.postings.filter(({ id, kind }) => kind === 'suspense' && !on.explained.has(id));
  for (const posting of before) {
    const money = subject.payment ?? statedFor(on, posting, credits);
    if (money === null) {
      on.explained.add(posting.id);
      const detail = `posting ${posting.id} of ${posting.transactionCode}: no two people stated these facts`;
      on.tell('credit_without_evidence', detail);
      continue;
    }
    expectPosting(on, posting.id, {
      kind: 'suspense',
      key: parkKey(provider, money.transactionCode),
      debit: clearingOf(provider),
      credit: suspenseOf(provider),
      ...received(money),
      // If its order was unknown, its deposit may have been created since.
      ...(subject.deposit === null ? {} : { deposit: subject.deposit }),
    });
  }
}

/** The facts that two operators stated alike, equal to the posting; null: there are none. */
function statedFor({ records }: Comparison, posting: PostingRecord, credits: readonly DecisionPair[]): Money | null {
  const isPosted = (stated: StatedRecord | undefined): stated is StatedRecord =>
    stated !== undefined &&
    stated.transactionCode === posting.transactionCode &&
    stated.transactionAmount === posting.amount &&
    stated.currencyCode === posting.fiat &&
    stated.paymentPrice === posting.fiatAmount;
  for (const { proposal, confirmation } of credits) {
    const [first, second] = [records.stated.get(proposal.id), records.stated.get(confirmation.id)];
    if (isPosted(first) && isPosted(second) && proposal.operator !== confirmation.operator) return first as Money;
  }
  return null;
}

/** Compares the posting of a decision: wallet, amount, followed posting, names, `beside`, and reason. */
export function compareMoved(on: Comparison, subject: SubjectRecord, people: DecisionPair, answer: Carried): void {
  const { tell } = on;
  const { proposal, confirmation } = people;
  if (answer.postingId === null) {
    if (proposal.decision !== 'reject')
      tell('decision_differs', `decided ${proposal.decision}, and nothing was posted`);
    return;
  }
  const posting = expectPosting(on, answer.postingId, {
    actor: actorOf(proposal.operator, confirmation.operator),
    reason: proposal.reason,
    fee: '0',
    beside: proposal.beside,
    ...(proposal.decision === 'credit' ? { rest: restFor(on, subject, proposal) } : {}),
    ...(subject.payment === null
      ? {}
      : { fiat: subject.payment.currencyCode, fiatAmount: subject.payment.paymentPrice }),
    ...(subject.tip === null ? {} : { origin: subject.tip }),
  });
  if (posting === undefined) return;
  compareChain(on, subject, posting);
  compareKey(on, subject, posting);
  const before = on.records.named.get(posting.origin ?? '');
  const wanted = wayOf(on, subject, people, posting, before);
  for (const [field, value] of Object.entries(wanted)) {
    const stands = posting[field as keyof PostingRecord];
    if (stands === value) continue;
    tell(
      'posting_differs',
      `${field} is ${String(stands)}, its history says ${String(value)}`,
      `posting ${posting.id}`,
    );
  }
  // Older code reversed a credit by decision always into suspense, whatever was proposed.
  const isKept = placeOf(posting).startsWith('suspense:');
  if (posting.key.startsWith('after:') && isKept !== (answer.kind === 'withdrawn')) {
    const left = `posting ${posting.id} left the money in ${placeOf(posting)}`;
    tell('decision_differs', `${left}, its history says ${answer.kind}`);
  }
}

/** The rest in suspense: only where the decision was to credit the ordered amount. */
function restFor(
  { records }: Comparison,
  { deposit, payment }: SubjectRecord,
  { onlyOrdered }: StepRecord,
): string | null {
  const row = deposit === null ? undefined : records.deposits.get(deposit);
  return onlyOrdered ? restOf(row?.mtcAmount ?? null, payment?.transactionAmount ?? null) : null;
}

/** The posting moves the money of this case, all of it. */
function compareChain({ id, records, tell }: Comparison, { payment }: SubjectRecord, posting: PostingRecord): void {
  const root = records.named.get(posting.root);
  const where = `posting ${posting.id}`;
  const isOwn =
    payment === null
      ? root !== undefined && callbackIn(root.workflowId) === callbackIn(id)
      : root?.transactionCode === payment.transactionCode;
  if (!isOwn) {
    const brought = root === undefined ? 'no posting' : `posting ${root.id} of ${root.transactionCode ?? 'no code'}`;
    tell('posting_differs', `it moved money that ${brought} brought in, which is not the money of its case`, where);
  }
  const amount = payment?.transactionAmount ?? root?.amount;
  if (posting.amount.replace('-', '') !== amount)
    tell('posting_differs', `moved ${posting.amount} MTC, what came in is ${amount}`, where);
}

/** The callback's part of a case's id, which the first case and all doubts of one callback share. */
const callbackIn = (id: string): string => id.replace(/:reversal:\d+$/, '');

/** The key of a posting names the posting it follows; in older rows it named the payment. */
function compareKey(
  { id, records, tell }: Comparison,
  { deposit }: SubjectRecord,
  { key, origin, ...posting }: PostingRecord,
) {
  const inboxId = records.cases.get(id)?.inboxId;
  const allowed = [
    `after:${origin}`,
    ...(deposit === null ? [] : [creditKey(deposit)]),
    `review:${inboxId}:release`,
    `review:${inboxId}:release:${origin}`,
    `review:${inboxId}:reverse`,
    `review:${inboxId}:restore:${origin}`,
  ];
  if (!allowed.includes(key))
    tell('posting_differs', `key is ${key}, its history says ${allowed[0]}`, `posting ${posting.id}`);
}

/** Source and target of a decision's posting; the source is where the posting `before` put the money. */
function wayOf(
  { facts, records }: Comparison,
  subject: SubjectRecord,
  { proposal }: DecisionPair,
  posting: PostingRecord,
  before: PostingRecord | undefined,
): Partial<PostingRecord> {
  const provider = providerIn(facts);
  const [suspense, clearing] = [suspenseOf(provider), clearingOf(provider)];
  const back = before === undefined ? {} : { debit: before.debit, credit: before.credit, deposit: before.deposit };
  const place = before === undefined ? undefined : placeOf(before);
  const isTakenOut = before?.amount.startsWith('-') === true;
  switch (proposal.decision) {
    case 'credit': {
      const to = proposal.toDeposit ?? subject.deposit;
      const wallet = to === null ? undefined : records.deposits.get(to)?.wallet;
      return {
        kind: 'release',
        debit: suspense,
        deposit: to,
        ...(wallet === undefined ? {} : { credit: `wallet:${wallet}` }),
      };
    }
    case 'reverse':
      return {
        kind: 'reversal',
        ...(place === undefined ? {} : { credit: place }),
        ...(posting.key.startsWith('after:') ? { debit: proposal.keep ? suspense : clearing } : {}),
      };
    case 'reject':
      return { kind: 'reversal', ...(isTakenOut ? back : { debit: clearing, credit: suspense }) };
    default:
      return { kind: 'reversal', ...back };
  }
}
