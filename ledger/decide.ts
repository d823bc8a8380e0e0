import type pg from 'pg';
import { type CaseRow, findCase, type ParkingFacts } from '../database/cases.ts';
import { type DecisionRow, listDecisions } from '../database/decisions.ts';
import { findDeposit } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import { actorOf, type Decision, needsTwo, type Proposal, proposalFault } from '../domain/decision.ts';
import { priceOf } from './credit.ts';

/** A confirmed decision. The rows are named and not quoted: what they say is read again where the money moves. */
export interface DecisionItem {
  readonly workflowId: string;
  readonly proposalId: string;
  readonly confirmationId: string;
}

/** Why nothing was done; the case stays open and a new proposal may be made. */
export type Refusal = 'unproven' | 'case_closed' | 'code_stands' | 'not_possible';

/**
 * `decided`: the case is closed; `postingId` is null where no money moved. `withdrawn`: the credit was taken out of its
 * wallet and waits in suspense for the next decision.
 */
export type DecisionAnswer =
  | {
      readonly kind: 'decided';
      readonly decision: Decision;
      readonly postingId: string | null;
      readonly decidedBy: string;
    }
  | { readonly kind: 'withdrawn'; readonly postingId: string; readonly decidedBy: string }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly detail: string };

class Refused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal, detail: string) {
    super(detail);
    this.refusal = refusal;
  }
}

/**
 * Carries a confirmed decision out, in one transaction: proof, postings, deposit, case, and the word to the outside.
 * Locks the case, then the ledger, and only then the deposit (ledger.md, Transactions). Repeating it is harmless: a
 * decided case answers what was decided. Database errors pass through; the outcome may then be unknown, so call again.
 */
export async function decide(pool: pg.Pool, item: DecisionItem): Promise<DecisionAnswer> {
  try {
    return await inTransaction(pool, (client) => decideLocked(client, item));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { kind: 'refused', refusal: error.refusal, detail: error.message };
  }
}

async function decideLocked(client: pg.ClientBase, item: DecisionItem): Promise<DecisionAnswer> {
  await client.query('select from engine.review_case where workflow_id = $1 for update', [item.workflowId]);
  const found = await findCase(client, item.workflowId);
  if (found === null) throw new Refused('unproven', `there is no case ${item.workflowId}`);
  const proven = prove(found, await listDecisions(client, item.workflowId), item);
  if (found.closedAt !== null) return alreadyDecided(found, item);
  if (proven.keep && found.standing === 'withdrawn') {
    return { kind: 'withdrawn', postingId: found.parked!, decidedBy: proven.actor };
  }
  const fault = proposalFault({ ...found, open: true, proposal: null }, { ...proven, operator: proven.actor });
  if (fault !== null) throw new Refused(fault === 'code_stands' ? fault : 'not_possible', fault);
  const postingId = await move(client, found, proven);
  if (proven.keep) {
    await client.query('update engine.review_case set parked = $2, proposal = null where workflow_id = $1', [
      found.workflowId,
      postingId,
    ]);
    return { kind: 'withdrawn', postingId: postingId!, decidedBy: proven.actor };
  }
  await conclude(client, found, proven, postingId);
  return { kind: 'decided', decision: proven.decision, postingId, decidedBy: proven.actor };
}

/** A decision as its rows say it. */
type Proven = Pick<Proposal, 'decision' | 'keep' | 'toDeposit' | 'reason'> & { readonly actor: string };

/** Two rows of this very case, by two people where the limit asks for it, and nobody has taken the proposal back. */
function prove(found: CaseRow, steps: readonly DecisionRow[], item: DecisionItem): Proven {
  const proposal = steps.find((step) => step.id === item.proposalId && step.step === 'propose');
  const confirmation = steps.find((step) => step.id === item.confirmationId && step.step === 'confirm');
  if (proposal === undefined || confirmation === undefined || confirmation.proposal !== proposal.id) {
    throw new Refused('unproven', 'the proposal and its confirmation are not written down');
  }
  if (steps.some((step) => step.step === 'withdraw' && step.proposal === proposal.id)) {
    throw new Refused('unproven', 'the proposal was withdrawn');
  }
  if (needsTwo(found) && proposal.operator === confirmation.operator) {
    throw new Refused('unproven', 'proposed and confirmed by one person');
  }
  return {
    decision: proposal.decision!,
    keep: proposal.keep,
    toDeposit: proposal.toDeposit,
    reason: proposal.reason!,
    actor: actorOf(proposal.operator, confirmation.operator),
  };
}

function alreadyDecided(found: CaseRow, item: DecisionItem): DecisionAnswer {
  if (found.proposal?.decisionId !== item.proposalId) throw new Refused('case_closed', 'the case was decided before');
  return { kind: 'decided', decision: found.decision!, postingId: found.posting, decidedBy: found.decidedBy! };
}

/** The posting of a decision, or null when it moves nothing. */
async function move(client: pg.ClientBase, found: CaseRow, proven: Proven): Promise<string | null> {
  const key = `review:${found.inboxId}`;
  if (proven.decision === 'reverse')
    return reverse(client, `${key}:reverse`, found.doubted!, proven.keep, found, proven);
  if (proven.decision === 'reject') {
    if (found.standing === 'parked') return reverse(client, `${key}:reverse`, found.parked!, false, found, proven);
    if (found.standing === 'withdrawn')
      return reverse(client, `${key}:restore:${found.parked}`, found.parked!, false, found, proven);
    return null;
  }
  const to = await findDeposit(client, (proven.toDeposit ?? found.deposit)!);
  if (to === null) throw new Refused('not_possible', `there is no deposit ${proven.toDeposit}`);
  const from = found.parked ?? (await park(client, found));
  if (from === null) throw new Refused('code_stands', 'the transaction code stands in the ledger');
  return post(client, 'select outcome, id from ledger.release($1, $2, $3, $4, 0, $5, $6, $7)', [
    releaseKey(found, proven, from),
    from,
    to.externalOrderNumber,
    to.wallet,
    found.workflowId,
    proven.actor,
    proven.reason,
  ]);
}

/** The deposit's own payment uses the deposit's one credit; every other the key of its case. */
function releaseKey(found: CaseRow, proven: Proven, from: string): string {
  if (found.standing === 'withdrawn') return `review:${found.inboxId}:release:${from}`;
  const own = found.isBound && (proven.toDeposit === null || proven.toDeposit === found.deposit);
  return own ? `deposit:${found.deposit}:credit` : `review:${found.inboxId}:release`;
}

const reverse = (
  client: pg.ClientBase,
  key: string,
  of: string,
  keep: boolean,
  { workflowId }: CaseRow,
  { actor, reason }: Proven,
): Promise<string> =>
  post(client, 'select outcome, id from ledger.reverse($1, $2, $3, $4, $5, $6)', [
    key,
    of,
    keep,
    workflowId,
    actor,
    reason,
  ]);

async function post(client: pg.ClientBase, call: string, values: readonly unknown[]): Promise<string> {
  const { rows } = await client.query<{ outcome: string; id: string }>(call, [...values]);
  if (rows[0]!.outcome === 'conflict') {
    throw new Refused('code_stands', `posting ${rows[0]!.id} stands where this one would go`);
  }
  return rows[0]!.id;
}

/**
 * Puts the money of a case into suspense: it is then on the books, in no wallet, and its code is used up. Null: the code
 * stands already. The facts are those of the inbox row. Runs in the caller's transaction.
 */
export async function park(client: pg.ClientBase, found: ParkingFacts): Promise<string | null> {
  const item = {
    key: `suspense:mtpay:${found.transactionCode}`,
    deposit: found.deposit,
    provider: 'mtpay',
    provider_code: found.transactionCode,
    amount: found.amount,
    fee: '0',
    fiat: found.currencyCode,
    fiat_amount: found.paymentPrice,
    unit_price: priceOf({ paymentPrice: found.paymentPrice!, amount: found.amount! }),
    workflow_id: found.workflowId,
  };
  const { rows } = await client.query<{ outcome: string; id: string }>('select outcome, id from ledger.park($1)', [
    JSON.stringify([item]),
  ]);
  // "duplicate" is another case's money with the same facts: this one has none of its own yet.
  return rows[0]!.outcome === 'posted' ? rows[0]!.id : null;
}

/** The deposit's state when its own payment was decided, the case's end, and the word to the outside. */
async function conclude(
  client: pg.ClientBase,
  found: CaseRow,
  proven: Proven,
  postingId: string | null,
): Promise<void> {
  const ownPayment = found.isBound && found.doubted === null;
  const ownCredit = proven.toDeposit === null || proven.toDeposit === found.deposit;
  if (ownPayment && proven.decision === 'credit' && ownCredit) {
    await client.query(
      `update engine.deposit set state = 'CREDITED', posting_id = $2, closed_at = clock_timestamp()
        where external_order_number = $1 and posting_id is null`,
      [found.deposit, postingId],
    );
  } else if (ownPayment) {
    await client.query(
      `update engine.deposit set state = 'REJECTED', closed_at = clock_timestamp()
        where external_order_number = $1 and state not in ('CREDITED', 'REJECTED', 'UNPAID')`,
      [found.deposit],
    );
  }
  await client.query(
    `update engine.review_case set closed_at = clock_timestamp(), decision = $2, decided_by = $3, posting = $4 where workflow_id = $1`,
    [found.workflowId, proven.decision, proven.actor, postingId],
  );
  await client.query(
    `insert into engine.outgoing (id, kind, external_order_number, body) values ($1, $2, $3, $4) on conflict do nothing`,
    [
      `review.decided:${found.workflowId}`,
      ownPayment && proven.decision === 'credit' && ownCredit ? 'deposit.credited' : 'review.decided',
      found.externalOrderNumber,
      {
        externalOrderNumber: found.externalOrderNumber,
        case: found.workflowId,
        decision: proven.decision,
        amount: found.amount,
        transactionCode: found.transactionCode,
        postingId,
      },
    ],
  );
}
