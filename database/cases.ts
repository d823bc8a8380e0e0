import type pg from 'pg';
import type { Decision, Standing } from '../domain/decision.ts';
import type { ReviewReason } from '../domain/review.ts';

type Db = pg.Pool | pg.ClientBase;

/** A case for people, with the callback and the deposit it is about. Decimals canonical, ids text, times Date. */
export interface CaseRow {
  readonly workflowId: string;
  readonly inboxId: string;
  readonly reason: ReviewReason;
  readonly detail: string;
  readonly openedBy: string | null;
  readonly openedAt: Date;
  /** As the callback claims it. */
  readonly externalOrderNumber: string;
  /** The claimed deposit when it exists, and what it has frozen. */
  readonly deposit: string | null;
  readonly wallet: string | null;
  readonly reviewLimit: string;
  readonly isBound: boolean;
  readonly transactionCode: string | null;
  readonly amount: string | null;
  readonly currencyCode: string | null;
  readonly paymentPrice: string | null;
  readonly receivedAt: Date;
  readonly doubted: string | null;
  readonly parked: string | null;
  readonly standing: Standing;
  readonly proposal: ProposalRow | null;
  readonly closedAt: Date | null;
  readonly decision: Decision | null;
  readonly decidedBy: string | null;
  readonly posting: string | null;
}

export interface ProposalRow {
  readonly decisionId: string;
  readonly decision: Decision;
  readonly reason: string;
  readonly operator: string;
  readonly keep: boolean;
  readonly toDeposit: string | null;
  readonly at: Date;
}

interface RawCase {
  workflow_id: string;
  callback: string;
  reason: ReviewReason;
  detail: string;
  opened_by: string | null;
  opened_at: Date;
  external_order_number: string;
  deposit: string | null;
  wallet: string | null;
  review_limit: string | null;
  bound: boolean;
  transaction_code: string | null;
  amount: string | null;
  currency_code: string | null;
  payment_price: string | null;
  received_at: Date;
  doubted: string | null;
  parked: string | null;
  code_posting: string | null;
  closed_at: Date | null;
  decision: Decision | null;
  decided_by: string | null;
  posting: string | null;
  proposal: string | null;
  proposed: Decision | null;
  proposal_reason: string | null;
  operator: string | null;
  keep: boolean | null;
  to_deposit: string | null;
  proposed_at: Date | null;
}

const CASES = `
  select v.workflow_id, v.callback, v.reason, v.detail, v.opened_by, v.opened_at, v.doubted, v.parked, v.closed_at,
         v.decision, v.decided_by, v.posting, v.proposal, to_char(v.opened_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as cursor_at,
         c.external_order_number, c.transaction_code, c.data->>'transactionAmount' as amount,
         c.data->>'currencyCode' as currency_code, c.data->>'paymentPrice' as payment_price, c.received_at,
         d.external_order_number as deposit, d.wallet, d.settings->>'reviewLimit' as review_limit,
         coalesce(d.bound_callback = c.id, false) as bound,
         p.decision as proposed, p.reason as proposal_reason, p.operator, p.keep, p.to_deposit, p.at as proposed_at,
         (select t.id from ledger.transaction t where t.provider = 'mtpay' and t.provider_code = c.transaction_code) as code_posting
    from engine.review_case v
    join engine.callback c on c.id = v.callback
    left join engine.deposit d on d.external_order_number = c.deposit
    left join engine.decision p on p.id = v.proposal`;

const toCase = (row: RawCase): CaseRow => ({
  workflowId: row.workflow_id,
  inboxId: row.callback,
  reason: row.reason,
  detail: row.detail,
  openedBy: row.opened_by,
  openedAt: row.opened_at,
  externalOrderNumber: row.external_order_number,
  deposit: row.deposit,
  wallet: row.wallet,
  reviewLimit: row.review_limit ?? '0',
  isBound: row.bound,
  transactionCode: row.transaction_code,
  amount: row.amount,
  currencyCode: row.currency_code,
  paymentPrice: row.payment_price,
  receivedAt: row.received_at,
  doubted: row.doubted,
  parked: row.parked,
  standing: standingOf(row),
  proposal: row.proposal === null ? null : toProposal(row),
  closedAt: row.closed_at,
  decision: row.decision,
  decidedBy: row.decided_by,
  posting: row.posting,
});

const toProposal = (row: RawCase): ProposalRow => ({
  decisionId: row.proposal!,
  decision: row.proposed!,
  reason: row.proposal_reason!,
  operator: row.operator!,
  keep: row.keep!,
  toDeposit: row.to_deposit,
  at: row.proposed_at!,
});

/** What the books hold for an open case's callback. */
function standingOf(row: RawCase): Standing {
  if (row.doubted !== null) return row.parked === null ? 'credited' : 'withdrawn';
  if (row.amount === null) return 'unreadable';
  if (row.parked !== null) return 'parked';
  return row.code_posting === null ? 'nothing' : 'elsewhere';
}

export async function findCase(db: Db, workflowId: string): Promise<CaseRow | null> {
  const { rows } = await db.query<RawCase>(`${CASES} where v.workflow_id = $1`, [workflowId]);
  return rows[0] === undefined ? null : toCase(rows[0]);
}

export interface CaseFilter {
  readonly state: 'open' | 'closed';
  readonly reason?: string | undefined;
  /** Only cases of these wallets' deposits; null: all, those of unknown orders too. */
  readonly wallets: readonly string[] | null;
  readonly after?: { readonly openedAt: string; readonly workflowId: string } | undefined;
  readonly limit: number;
}

/** Oldest first: what has waited longest. `end` is where the next page begins, null when there is none. */
export async function listCases(
  db: Db,
  filter: CaseFilter,
): Promise<{
  readonly items: CaseRow[];
  readonly end: { readonly openedAt: string; readonly workflowId: string } | null;
}> {
  const { rows } = await db.query<RawCase & { cursor_at: string }>(
    `${CASES}
      where v.closed_at is ${filter.state === 'open' ? '' : 'not '}null and ($1::text is null or v.reason = $1)
        and ($2::text[] is null or d.wallet = any($2))
        and ($3::timestamptz is null or (v.opened_at, v.workflow_id) > ($3, $4))
      order by v.opened_at, v.workflow_id limit $5`,
    [
      filter.reason ?? null,
      filter.wallets,
      filter.after?.openedAt ?? null,
      filter.after?.workflowId ?? null,
      filter.limit + 1,
    ],
  );
  const page = rows.slice(0, filter.limit);
  const last = rows.length > filter.limit ? page.at(-1) : undefined;
  return {
    items: page.map(toCase),
    end: last === undefined ? null : { openedAt: last.cursor_at, workflowId: last.workflow_id },
  };
}

export interface NewCase {
  readonly workflowId: string;
  readonly inboxId: string;
  readonly reason: ReviewReason;
  readonly detail: string;
  readonly openedBy?: string;
  readonly doubted?: string;
}

/** False: the case stands already, or another is open about the same callback. */
export async function insertCase(db: Db, opened: NewCase): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into engine.review_case (workflow_id, callback, reason, detail, opened_by, doubted)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
    [opened.workflowId, opened.inboxId, opened.reason, opened.detail, opened.openedBy ?? null, opened.doubted ?? null],
  );
  return rowCount === 1;
}

/** Which callback a credit came from, and how often it has been in doubt; null: no credit of ours. */
export async function findCredit(
  db: Db,
  by: { readonly externalOrderNumber: string } | { readonly postingId: string },
): Promise<{ readonly postingId: string; readonly inboxId: string; readonly cases: number } | null> {
  const { rows } = await db.query<{ posting: string; callback: string; cases: number }>(
    `select f.posting, f.callback,
            (select count(*)::int from engine.review_case v where v.callback = f.callback and v.doubted is not null) as cases
       from (select d.posting_id as posting, d.bound_callback as callback, d.external_order_number from engine.deposit d
              where d.external_order_number = $1 or d.posting_id = $2
             union
             select v.posting, v.callback, null from engine.review_case v where v.posting = $2 and v.decision = 'credit') f
      where f.posting is not null limit 1`,
    ['externalOrderNumber' in by ? by.externalOrderNumber : null, 'postingId' in by ? by.postingId : null],
  );
  const row = rows[0];
  return row === undefined ? null : { postingId: row.posting, inboxId: row.callback, cases: row.cases };
}

/** The open case about a callback, if there is one. */
export async function findOpenCase(db: Db, inboxId: string): Promise<CaseRow | null> {
  const { rows } = await db.query<RawCase>(`${CASES} where v.callback = $1 and v.closed_at is null`, [inboxId]);
  return rows[0] === undefined ? null : toCase(rows[0]);
}

/** Open cases in the order of their ids, to be looked after in turns. */
export async function openCasesAfter(db: Db, workflowId: string, limit: number): Promise<CaseRow[]> {
  const { rows } = await db.query<RawCase>(
    `${CASES} where v.closed_at is null and v.workflow_id > $1 and v.opened_at < clock_timestamp() - interval '1 minute'
      order by v.workflow_id limit $2`,
    [workflowId, limit],
  );
  return rows.map(toCase);
}

/** Shows which proposal waits; the workflow is the one that knows. */
export async function recordProposal(db: Db, workflowId: string, decisionId: string | null): Promise<void> {
  await db.query('update engine.review_case set proposal = $2 where workflow_id = $1 and closed_at is null', [
    workflowId,
    decisionId,
  ]);
}

/** What parking needs of a case; the worker may not read the books. */
export type ParkingFacts = Pick<
  CaseRow,
  'workflowId' | 'deposit' | 'transactionCode' | 'amount' | 'currencyCode' | 'paymentPrice' | 'parked'
>;

/** Locks an open case; null: there is none, or it is decided. */
export async function lockForParking(client: pg.ClientBase, workflowId: string): Promise<ParkingFacts | null> {
  const { rows } = await client.query<ParkingFacts>(
    `select v.workflow_id as "workflowId", v.parked, c.deposit, c.transaction_code as "transactionCode",
            c.data->>'transactionAmount' as amount, c.data->>'currencyCode' as "currencyCode", c.data->>'paymentPrice' as "paymentPrice"
       from engine.review_case v join engine.callback c on c.id = v.callback
      where v.workflow_id = $1 and v.closed_at is null for update of v`,
    [workflowId],
  );
  return rows[0] ?? null;
}

export async function recordParked(client: pg.ClientBase, workflowId: string, postingId: string): Promise<void> {
  await client.query('update engine.review_case set parked = $2 where workflow_id = $1', [workflowId, postingId]);
}
