import { actorOf, restOf, type DecisionAnswer } from '../../domain/decision.ts';
import type { Payment } from '../../domain/order.ts';
import { type Comparison, expectPosting, placeOf, received, providerIn } from './comparing.ts';
import type { DecisionPair, SubjectRecord } from './compare-people.ts';
import type { PostingRecord, StatedRecord, StepRecord } from '../tables/rows.ts';
import { creditKey, clearingOf, suspenseOf, parkKey } from '../../domain/ids.ts';

type Carried = Exclude<DecisionAnswer, { kind: 'refused' }>;
type Money = Omit<Payment, 'inboxId' | 'receivedAt'>;

/**
 * Money that two people brought onto the books before it went to a wallet: what was received, or, of a payment that
 * cannot be read, what both of them stated. It stands in suspense for itself, whatever the proposal came to.
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
      // Its deposit may have been made since, when its order was unknown.
      ...(subject.deposit === null ? {} : { deposit: subject.deposit }),
    });
  }
}

/** What two people stated alike, and is just what was posted; null: nobody did. */
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

/** The posting of a decision: whose wallet, how much, of which posting, in whose name, next to which, and why. */
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
  // Code of before took what it had credited by decision back into suspense, whatever was proposed.
  const isKept = placeOf(posting).startsWith('suspense:');
  if (posting.key.startsWith('after:') && isKept !== (answer.kind === 'withdrawn')) {
    const left = `posting ${posting.id} left the money in ${placeOf(posting)}`;
    tell('decision_differs', `${left}, its history says ${answer.kind}`);
  }
}

/** What stays in suspense: only where two people chose to credit what was ordered. */
function restFor(
  { records }: Comparison,
  { deposit, payment }: SubjectRecord,
  { onlyOrdered }: StepRecord,
): string | null {
  const row = deposit === null ? undefined : records.deposits.get(deposit);
  return onlyOrdered ? restOf(row?.mtcAmount ?? null, payment?.transactionAmount ?? null) : null;
}

/** It is the money of this case, whole. */
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

/** Cases of one callback, the first and all that doubt what came of it, are called after it. */
const callbackIn = (id: string): string => id.replace(/:reversal:\d+$/, '');

/** One posting follows another by its name; before that the name said whose money it was. */
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

/** From where to where a decision takes the money, which lies where the posting `before` left it. */
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
