import type pg from 'pg';
import type { Secret } from '../../config/keys/secret.ts';
import type { Decision, DecisionAnswer, Proposal, Standing } from '../../domain/decision.ts';
import type { ReviewReason } from '../../domain/review.ts';
import { pageTime } from './rows.ts';
import type { Db } from '../pool.ts';

/** A case, with the callback and the deposit it is about. Decimals canonical, ids text, times Date. */
export interface CaseRow {
  readonly workflowId: string;
  /** The workflow that holds it, when it is not the case's own. */
  readonly heldBy: string | null;
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
  /** sha256 of the callback's content, hex. */
  readonly contentHash: string;
  readonly transactionCode: string | null;
  readonly amount: string | null;
  readonly currencyCode: string | null;
  readonly paymentPrice: string | null;
  readonly receivedAt: Date;
  readonly doubted: string | null;
  readonly parked: string | null;
  readonly standing: Standing;
  /** The newest posting of the chain that this case's money is on; null: nothing is booked, or it is another case's. */
  readonly tip: string | null;
  /** Where undoing the tip puts the money: a wallet of this deposit; null: suspense, or the provider. */
  readonly backTo: string | null;
  /** The newest credit of the claimed deposit that is in a wallet: a further one has to be put beside it. */
  readonly newestCredit: string | null;
  readonly proposal: ProposalRow | null;
  readonly closedAt: Date | null;
  readonly decision: Decision | null;
  readonly decidedBy: string | null;
  readonly posting: string | null;
}

export interface ProposalRow extends Required<Proposal> {
  /** base64url; null: it has none. */
  readonly signature: string | null;
  readonly at: Date;
}

export interface RawCase {
  workflow_id: string;
  held_by: string | null;
  callback: string;
  reason: ReviewReason;
  detail: string;
  opened_by: string | null;
  opened_at: Date;
  external_order_number: string;
  deposit: string | null;
  wallet: string | null;
  review_limit: string;
  bound: boolean;
  content_hash: Buffer;
  transaction_code: string | null;
  amount: string | null;
  currency_code: string | null;
  payment_price: string | null;
  received_at: Date;
  doubted: string | null;
  parked: string | null;
  standing: Standing;
  tip: string | null;
  back_to: string | null;
  newest_credit: string | null;
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
  beside: string | null;
  only_ordered: boolean | null;
  signature: Buffer | null;
  proposed_at: Date | null;
}

export const toCase = (row: RawCase): CaseRow => ({
  workflowId: row.workflow_id,
  heldBy: row.held_by,
  inboxId: row.callback,
  reason: row.reason,
  detail: row.detail,
  openedBy: row.opened_by,
  openedAt: row.opened_at,
  externalOrderNumber: row.external_order_number,
  deposit: row.deposit,
  wallet: row.wallet,
  reviewLimit: row.review_limit,
  isBound: row.bound,
  contentHash: row.content_hash.toString('hex'),
  transactionCode: row.transaction_code,
  amount: row.amount,
  currencyCode: row.currency_code,
  paymentPrice: row.payment_price,
  receivedAt: row.received_at,
  doubted: row.doubted,
  parked: row.parked,
  standing: row.standing,
  tip: row.tip,
  backTo: row.back_to,
  newestCredit: row.newest_credit,
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
  beside: row.beside,
  onlyOrdered: row.only_ordered === true,
  signature: row.signature?.toString('base64url') ?? null,
  at: row.proposed_at!,
});

export async function findCase(db: Db, workflowId: string): Promise<CaseRow | null> {
  const { rows } = await db.query<RawCase>(`select * from engine.case_now v where v.workflow_id = $1`, [workflowId]);
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

/** Returns cases, oldest first. `end` is where the next page begins, null when there is none. */
export async function listCases(
  db: Db,
  filter: CaseFilter,
): Promise<{
  readonly items: CaseRow[];
  readonly end: { readonly openedAt: string; readonly workflowId: string } | null;
}> {
  const isOpen = filter.state === 'open';
  // One index has the cases by age, another those of a reason; neither fits the other's condition.
  const ofState =
    filter.reason === undefined
      ? `num_nulls(v.closed_at) = ${isOpen ? 1 : 0} and $1::text is null`
      : `num_nonnulls(v.closed_at) = ${isOpen ? 0 : 1} and v.reason = $1`;
  const oldestFirst = 'order by v.opened_at, v.workflow_id limit $5';
  const oldest = (where: string) => `
    select v.workflow_id, v.opened_at from engine.review_case v
     where ${ofState} and ${where} and ($3::timestamptz is null or (v.opened_at, v.workflow_id) > ($3, $4)) ${oldestFirst}`;
  // The oldest of each wallet before the oldest of all, as the newest in listDeposits.
  const ofWallets = `
    select v.workflow_id from (select distinct unnest($2::text[]) as wallet) of
     cross join lateral (${oldest('v.wallet = of.wallet')}) v ${oldestFirst}`;
  const page = filter.wallets === null ? `select workflow_id from (${oldest('$2::text[] is null')}) v` : ofWallets;
  // The page before the rest: what a case is about is looked up for its cases only.
  const { rows } = await db.query<RawCase & { cursor_at: string }>(
    `select v.*, ${pageTime('v.opened_at')} as cursor_at from engine.case_now v
      where v.workflow_id = any(array(${page}))
      order by v.opened_at, v.workflow_id`,
    [
      filter.reason ?? null,
      filter.wallets,
      filter.after?.openedAt ?? null,
      filter.after?.workflowId ?? null,
      filter.limit + 1,
    ],
  );
  const found = rows.slice(0, filter.limit);
  const last = rows.length > filter.limit ? found.at(-1) : undefined;
  return {
    // A case whose wallet is not its deposit's is shown to nobody, and does not end the list.
    items: found.map(toCase).filter(({ wallet }) => filter.wallets?.includes(wallet ?? '') !== false),
    end: last === undefined ? null : { openedAt: last.cursor_at, workflowId: last.workflow_id },
  };
}

/** The money in doubt: the credit of a deposit, a posting of any chain, or the decision of a closed case. */
export type DoubtTarget =
  | { readonly externalOrderNumber: string }
  | { readonly postingId: string }
  | { readonly case: string };

/**
 * Opens a case about money in doubt, in the name of the key's holder. `opened` false: one is open about the same
 * callback. Throws SQLSTATE:
 * - P0E35: no key that may;
 * - P0E36: no such money, or not for this key;
 * - P0E37: the money was moved meanwhile; retry.
 */
export async function openDoubt(
  db: Db,
  proof: Secret,
  of: DoubtTarget,
  detail: string,
): Promise<{ readonly inboxId: string; readonly opened: boolean }> {
  const { rows } = await db.query<{ inboxId: string; opened: boolean }>(
    'select callback as "inboxId", opened from engine.open_doubt($1, $2, $3, $4, $5)',
    [
      proof.reveal(),
      'externalOrderNumber' in of ? of.externalOrderNumber : null,
      'postingId' in of ? of.postingId : null,
      'case' in of ? of.case : null,
      detail,
    ],
  );
  return rows[0]!;
}

/** Returns the newest credit of a deposit that is in a wallet: a further one has to be put beside it. */
export async function findNewestCredit(db: Db, externalOrderNumber: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    'select t.id from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = $1',
    [externalOrderNumber],
  );
  return rows[0]?.id ?? null;
}

/**
 * Lets another workflow hold the case from now on. Returns its id; null: another process was first, or the case is
 * decided.
 */
export async function handOver(db: Db, of: CaseRow): Promise<string | null> {
  const { rows } = await db.query<{ held_by: string | null }>('select engine.hand_over($1, $2) as held_by', [
    of.workflowId,
    of.heldBy,
  ]);
  return rows[0]!.held_by;
}

/** Returns the open case about a callback, if there is one. */
export async function findOpenCase(db: Db, inboxId: string): Promise<CaseRow | null> {
  const { rows } = await db.query<RawCase>(
    `select * from engine.case_now v where v.callback = $1 and v.closed_at is null`,
    [inboxId],
  );
  return rows[0] === undefined ? null : toCase(rows[0]);
}

/** Writes the case of a deposit in review once more, if its payment never had another. Returns its id, or null. */
export async function regainCase(db: Db, externalOrderNumber: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string | null }>('select engine.regain_case($1) as id', [externalOrderNumber]);
  return rows[0]!.id;
}

/** Notes which proposal waits, for readers of the row; the workflow is the one that knows. */
export async function noteProposal(db: Db, workflowId: string, decisionId: string | null): Promise<void> {
  await db.query('select engine.show_proposal($1, $2)', [workflowId, decisionId]);
}

/** `postingId` null: nothing was parked; `codeStands`: because another posting has the transaction code. */
export interface ParkResult {
  readonly postingId: string | null;
  readonly codeStands: boolean;
}

/** Puts the money of an open case into suspense. Idempotent. */
export async function parkCaseMoney(db: Db, workflowId: string): Promise<ParkResult> {
  const { rows } = await db.query<ParkResult>(
    'select posting as "postingId", code_stands as "codeStands" from engine.park($1)',
    [workflowId],
  );
  return rows[0]!;
}

/**
 * Writes IN_REVIEW, the case, the outcome of the callback and, where asked, its money into suspense: from then on
 * operators own the deposit. Null: the callback is no deposit's payment, or the deposit is settled, and nothing was
 * written. Idempotent.
 */
export async function openDepositCase(
  db: Db,
  review: {
    readonly inboxId: string;
    readonly reason: string;
    readonly detail?: string;
    readonly late: boolean;
    readonly park?: boolean;
  },
): Promise<ParkResult | null> {
  const { rows } = await db.query<ParkResult & { given: boolean }>(
    'select given, posting as "postingId", code_stands as "codeStands" from engine.give_to_people($1, $2, $3, $4, $5)',
    [review.inboxId, review.reason, review.detail ?? '', review.late, review.park === true],
  );
  const { given, ...parked } = rows[0]!;
  return given ? parked : null;
}

export type DecidedCase = Omit<Extract<DecisionAnswer, { kind: 'decided' }>, 'kind'>;

/**
 * Returns how a case was decided; null: it is open. For a deposit whose own workflow was gone for a while: how the case
 * that was opened instead was decided.
 */
export async function findDecided(db: Db, workflowId: string): Promise<DecidedCase | null> {
  const { rows } = await db.query<
    Pick<DecidedCase, 'decision' | 'postingId' | 'decidedBy'> & {
      state: string | null;
      shown: string | null;
      code: string | null;
    }
  >(
    `select v.decision, v.posting as "postingId", v.decided_by as "decidedBy",
            d.state, d.posting_id as shown, ledger.code(d.posting_id) as code
       from (values (1)) one
       left join engine.deposit d on d.external_order_number = substr($1, 9) and $1 like 'deposit:%'
       join engine.review_case v on v.workflow_id = $1 or (v.doubted is null and v.callback = d.bound_callback)
      where v.closed_at is not null
      order by v.closed_at limit 1`,
    [workflowId],
  );
  if (rows[0] === undefined) return null;
  const { state, shown, code, ...decided } = rows[0];
  return {
    ...decided,
    ...(state === 'CREDITED' && shown !== null && shown !== decided.postingId
      ? { settled: { postingId: shown, transactionCode: code } }
      : {}),
    ...(decided.decision === 'credit' && (state === 'REJECTED' || (state === 'CREDITED' && shown !== decided.postingId))
      ? { elsewhere: true as const }
      : {}),
  };
}

/** Returns those of these cases that were decided longer ago than this. */
export async function decidedLongAgo(db: Db, workflowIds: readonly string[], olderThanMs: number): Promise<string[]> {
  const { rows } = await db.query<{ workflow_id: string }>(
    `select workflow_id from engine.review_case where workflow_id = any($1) and closed_at < clock_timestamp() - $2 * interval '1 millisecond'`,
    [workflowIds, olderThanMs],
  );
  return rows.map((row) => row.workflow_id);
}

/** Returns those of these cases that the table does not have. */
export async function casesWithoutRow(db: Db, workflowIds: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'select id from unnest($1::text[]) id where not exists (select from engine.review_case v where v.workflow_id = id)',
    [workflowIds],
  );
  return rows.map((row) => row.id);
}

/** Another callback of an order number, as operators see it beside the one their case is about. */
export interface OtherCallback {
  readonly inboxId: string;
  readonly transactionCode: string | null;
  readonly amount: string | null;
  readonly currencyCode: string | null;
  readonly paymentPrice: string | null;
  readonly receivedAt: Date;
  /** The case about it: the one that is open, or else the one it led to; null: a machine has it. */
  readonly case: string | null;
  /** `open`: not decided; `credited`: by a machine; null: it has no outcome yet. */
  readonly outcome: 'open' | 'credited' | Decision | null;
}

/**
 * Returns them oldest first. One look-up in an index for each: a callback has at most one open case, and its outcome
 * names the first.
 */
export async function listOtherCallbacks(
  db: pg.Pool,
  of: { readonly externalOrderNumber: string; readonly inboxId: string },
): Promise<OtherCallback[]> {
  const { rows } = await db.query<OtherCallback>(
    `select o.id as "inboxId", o.transaction_code as "transactionCode", o.data->>'transactionAmount' as amount,
            o.data->>'currencyCode' as "currencyCode", o.data->>'paymentPrice' as "paymentPrice", o.received_at as "receivedAt",
            v.workflow_id as "case",
            case when v.workflow_id is null then case when o.outcome like 'posting:%' then 'credited' end
                 else coalesce(v.decision, 'open') end as outcome
       from engine.callback o
       left join lateral (
         select v.workflow_id, v.decision from engine.review_case v where v.callback = o.id and v.closed_at is null
         union all
         select v.workflow_id, v.decision from engine.review_case v
          where o.outcome like 'review:%' and v.workflow_id = substr(o.outcome, ${'review:'.length + 1}) and v.closed_at is not null
         limit 1) v on true
      where o.external_order_number = $1 and o.id <> $2 order by o.id`,
    [of.externalOrderNumber, of.inboxId],
  );
  return rows;
}
