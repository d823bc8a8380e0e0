import type pg from 'pg';
import type { CaseRow } from '../database/cases.ts';
import { findDeposit } from '../database/deposits.ts';
import { entersWallet } from '../domain/decision.ts';
import { isFinal } from '../domain/deposit.ts';
import { CREDITED_ID } from './outgoing.ts';
import type { Proven } from './proof.ts';

/** What a decision that was carried out changes beside the books: the deposit, the case, the word to the outside. */

/** The deposit's own workflow holds its own case, and hears of a decision there by itself. */
const OTHER_CASE = (id: string): string =>
  `case when ${id}::text <> 'deposit:' || external_order_number then ${id}::text end`;

type Settled = { readonly postingId: string; readonly transactionCode: string | null };

/**
 * The deposit's state where its payment was decided about, the case's end, and the word to the outside. Answers what the
 * deposit was credited with instead, when its own payment was not.
 */
export async function conclude(
  client: pg.ClientBase,
  found: CaseRow,
  proven: Proven,
  postingId: string | null,
): Promise<Settled | null> {
  const into =
    proven.decision === 'credit' ? (proven.toDeposit ?? found.deposit) : postingId === null ? null : found.backTo;
  const ownCredit = into !== null && into === found.deposit && entersWallet(found.standing, proven.decision);
  // What a restore left without a workflow is nobody else's to end, unless a payment came meanwhile.
  const ownPayment = found.openedBy === null && (found.isBound || found.reason === 'RESTORED');
  let settled: Settled | null = null;
  if (ownCredit) await credited(client, found, postingId!);
  else if (ownPayment) settled = await rejected(client, found);
  await client.query(
    `update engine.review_case set closed_at = clock_timestamp(), decision = $2, decided_by = $3, posting = $4, proposal = null
      where workflow_id = $1`,
    [found.workflowId, proven.decision, proven.actor, postingId],
  );
  await client.query(
    `insert into engine.outgoing (id, kind, external_order_number, body) values ($1, $2, $3, $4) on conflict do nothing`,
    [
      `review.decided:${found.workflowId}`,
      'review.decided',
      found.externalOrderNumber,
      {
        externalOrderNumber: found.externalOrderNumber,
        case: found.workflowId,
        decision: proven.decision,
        amount: found.amount ?? proven.facts?.amount ?? null,
        transactionCode: found.transactionCode ?? proven.facts?.transactionCode ?? null,
        postingId,
      },
    ],
  );
  return settled;
}

/** A credit of the deposit's own payment ends it; an unbound one is bound first, if nothing is and the deposit is open. */
async function credited(client: pg.ClientBase, found: CaseRow, postingId: string): Promise<void> {
  const deposit = (await findDeposit(client, found.deposit!))!;
  // A final deposit keeps its state: what lies in its wallet is in its credits.
  if (isFinal(deposit.state) || (deposit.boundCallback !== null && !found.isBound)) return;
  await client.query(
    `update engine.deposit set state = 'CREDITED', posting_id = $2, closed_at = clock_timestamp(),
            bound_callback = coalesce(bound_callback, $3), settled_by = ${OTHER_CASE('$4')},
            late = case when bound_callback is null then coalesce($5 > expires_at, false) else late end
      where external_order_number = $1 and posting_id is null`,
    [found.deposit, postingId, found.inboxId, found.workflowId, found.receivedAt],
  );
  await tellCredited(client, found.deposit!);
}

/** The deposit's own payment was not credited to it. Another payment of it may have been. */
async function rejected(client: pg.ClientBase, found: CaseRow): Promise<Settled | null> {
  const { rows } = await client.query<Settled>(
    `select t.id as "postingId", r.provider_code as "transactionCode" from ledger.transaction t
       join ledger.transaction r on r.id = ledger.root(t.id) where t.id = $1`,
    [found.newestCredit],
  );
  const settled = rows[0] ?? null;
  const { rowCount } = await client.query(
    `update engine.deposit set state = $2, posting_id = coalesce(posting_id, $3), closed_at = clock_timestamp(),
            settled_by = ${OTHER_CASE('$4')}
      where external_order_number = $1 and state not in ('CREDITED', 'REJECTED', 'UNPAID') and ($5 or bound_callback is null)`,
    [
      found.deposit,
      settled === null ? 'REJECTED' : 'CREDITED',
      settled?.postingId ?? null,
      found.workflowId,
      found.isBound,
    ],
  );
  // A deposit that is over keeps its state.
  if (settled === null || rowCount === 0) return null;
  await tellCredited(client, found.deposit!);
  return settled;
}

/** The same word, whoever credited. */
async function tellCredited(client: pg.ClientBase, deposit: string): Promise<void> {
  await client.query(
    `insert into engine.outgoing (id, kind, external_order_number, body)
     select ${CREDITED_ID('t')}, 'deposit.credited', d.external_order_number,
            jsonb_build_object('externalOrderNumber', d.external_order_number, 'wallet', d.wallet,
              'amount', trim_scale(t.amount - t.fee - coalesce(t.rest, 0))::text, 'transactionCode', r.provider_code, 'postingId', t.id::text,
              'late', d.late, 'creditedAt', t.posted_at)
       from engine.deposit d join ledger.transaction t on t.id = d.posting_id join ledger.transaction r on r.id = ledger.root(t.id)
      where d.external_order_number = $1
     on conflict do nothing`,
    [deposit],
  );
}
