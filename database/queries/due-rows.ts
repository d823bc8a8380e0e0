import type pg from 'pg';
import { type Db, inTransaction } from '../pool.ts';
import { type CallbackRow, COLUMNS, type RawCallbackRow, toCallback } from './callbacks.ts';
import { type CaseRow, type RawCase, toCase } from './cases.ts';
import {
  ageMsOf,
  COUNTED,
  COUNTED_ROWS,
  type Counted,
  DEPOSIT_COLUMNS,
  type DepositRow,
  duePage,
  isOld,
  type Looked,
  oldRows,
  type Page,
  pageTime,
  toDuePage,
  toPage,
} from './rows.ts';

/** The rows that the relay looks after: callbacks, deposits and cases, page by page, and those that wait too long. */

/** The times after which an acknowledged row without an outcome is raised, in ms. */
export interface RaiseTimes {
  /** Since it was received, when it was never raised. */
  readonly freshMs: number;
  /** Since it was raised, when it was raised soon after it had come; later it is raised when its age has doubled. */
  readonly againMs: number;
  /** At most so long after it was raised. */
  readonly atMostMs: number;
}

/**
 * Returns acknowledged rows without an outcome that their workflow has to be signaled about, even if it was before;
 * oldest first. Those that were raised and still wait are looked at, a limited number for each page: it may be short, or
 * empty, and not be the last.
 */
export async function findToRaise(
  db: Db,
  times: RaiseTimes,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<CallbackRow>> {
  const { rows } = await db.query<RawCallbackRow & Looked>(
    duePage({
      looked: () =>
        `select ${COLUMNS} from engine.callback c where c.outcome is null and (c.received_at, c.id) > ($4::timestamptz, $5::bigint)`,
      order: ['received_at', 'id'],
      cursor: `array[${pageTime('d.received_at')}, d.id::text]`,
      isDue: `acked and ((raised_at is null and ${isOld('received_at', '$1')})
        or raised_at > clock_timestamp() + interval '1 minute'
        or raised_at < clock_timestamp() - greatest($2 * interval '1 millisecond',
                                                    least($3 * interval '1 millisecond', raised_at - received_at)))`,
      columns: COLUMNS.replaceAll('c.', 'd.'),
      limit: '$6',
    }),
    [times.freshMs, times.againMs, times.atMostMs, after?.[0] ?? '-infinity', after?.[1] ?? '0', limit],
  );
  return toDuePage(rows, limit, toCallback);
}

/** Acknowledged payments without an outcome. Rows of stored messages that are not acknowledged do not count. */
export interface WithoutEffect extends Counted {
  /** Of the oldest, since it was received; negative where the server's clock was put back since. */
  readonly ageMs: number;
  readonly deposit: string;
  readonly inboxId: string;
}

const oldWithoutEffect = (columns: string, limit: number): string =>
  oldRows(`select ${columns} from engine.callback where outcome is null and acked`, 'received_at', '$1', limit);

/** Null: there are none older than this. */
export async function findWithoutEffect(db: Db, olderThanMs: number): Promise<WithoutEffect | null> {
  const { rows } = await db.query<WithoutEffect>(
    `select external_order_number as deposit, id as "inboxId", ${COUNTED}, ${ageMsOf('received_at')} as "ageMs"
       from (${oldWithoutEffect('external_order_number, id, received_at', COUNTED_ROWS)}) c order by received_at limit 1`,
    [olderThanMs],
  );
  return rows[0] ?? null;
}

/**
 * Returns since when the oldest acknowledged payment without an outcome waits, in ms; null: none is older than this.
 * Does not count them, so that it may be asked often.
 */
export async function findLongestWithoutEffect(db: Db, olderThanMs: number): Promise<number | null> {
  const { rows } = await db.query<{ ageMs: number }>(
    `select ${ageMsOf('received_at')} as "ageMs" from (${oldWithoutEffect('received_at', 1)}) c order by received_at limit 1`,
    [olderThanMs],
  );
  return rows[0]?.ageMs ?? null;
}

/**
 * Returns orders with stored messages that wait for a routing: the order has turned up and its placing was begun, or it
 * has been unknown for longer than this.
 */
export async function findKeptOrders(
  db: Db,
  unknownForMs: number,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<string>> {
  const { rows } = await db.query<Looked & { external_order_number: string }>(
    duePage({
      // Row by row, in the order of their index: PostgreSQL might group all of them for a page.
      looked: () =>
        `select c.external_order_number from engine.callback c
          where num_nulls(c.outcome) = 1 and not c.acked and c.external_order_number > $1`,
      order: ['external_order_number'],
      cursor: 'array[d.external_order_number]',
      isDue: `coalesce(
        (select o.state <> 'PLACING' or exists (select from engine.placement_attempt a where a.external_order_number = o.external_order_number)
           from engine.deposit o where o.external_order_number = d.external_order_number),
        (select min(c.received_at) < clock_timestamp() - $2 * interval '1 millisecond' from engine.callback c
          where num_nulls(c.outcome) = 1 and not c.acked and c.external_order_number = d.external_order_number))`,
      columns: 'd.external_order_number',
      limit: '$3',
    }),
    [after?.[0] ?? '', unknownForMs, limit],
  );
  const page = toDuePage(rows, limit, (row) => row.external_order_number);
  return { ...page, rows: [...new Set(page.rows)] };
}

/** The states of open deposits that the relay looks after; IN_REVIEW is looked after with its case. */
export const WAITING = ['PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED'] as const;

export interface OpenDeposit extends DepositRow {
  /**
   * How long its row has waited since its own settings ended the wait, in ms; negative: not yet. Null: it has no such
   * time.
   */
  readonly overdueMs: number | null;
}

/** Returns open deposits in these states that are older than this, oldest first. */
export async function findOpenDeposits(
  db: Db,
  states: readonly ('PLACING' | (typeof WAITING)[number])[],
  olderThanMs: number,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<OpenDeposit>> {
  // One index scan per state: a scan of all together would sort them whole.
  const pages = states.map(
    (state) => `(select ${DEPOSIT_COLUMNS} from engine.deposit d where d.state = '${state}'
       and (d.created_at, d.external_order_number) > ($1::timestamptz, $2) and ${isOld('d.created_at', '$3')}
      order by d.created_at, d.external_order_number limit $4)`,
  );
  const { rows } = await db.query<OpenDeposit & { cursor: string }>(
    `select d.*, ${pageTime('d."createdAt"')} as cursor,
            (extract(epoch from clock_timestamp() - case d.state when 'PLACING' then null when 'AWAITING_PAYMENT' then d."expiresAt"
               else coalesce(d."listeningUntil", d."createdAt" + ((d.settings->>'paymentWindowMs')::bigint
                             + (d.settings->>'listeningWindowMs')::bigint) * interval '1 millisecond') end) * 1000)
            ::bigint::float8 as "overdueMs"
       from (${pages.join(' union all ')}) d order by "createdAt", "externalOrderNumber" limit $4`,
    [after?.[0] ?? '-infinity', after?.[1] ?? '', olderThanMs, limit],
  );
  return toPage(
    rows,
    limit,
    (row) => row,
    (row) => [row.cursor, row.externalOrderNumber],
  );
}

/**
 * Returns the reservations that were neither placed nor refused: how many are older than this, and the oldest; null:
 * none is.
 */
export async function findNotPlaced(
  db: Db,
  olderThanMs: number,
): Promise<(Counted & { readonly deposit: string; readonly ageMs: number }) | null> {
  const placing = `select external_order_number, created_at from engine.deposit where state = 'PLACING'`;
  const { rows } = await db.query<Counted & { deposit: string; ageMs: number }>(
    `select external_order_number as deposit, ${COUNTED}, ${ageMsOf('created_at')} as "ageMs"
       from (${oldRows(placing, 'created_at', '$1', COUNTED_ROWS)}) d order by created_at limit 1`,
    [olderThanMs],
  );
  return rows[0] ?? null;
}

/** Returns deposits that operators settled and whose workflow was not signaled yet. */
export async function findToTell(db: Db, after: readonly string[] | null, limit: number): Promise<Page<string>> {
  const { rows } = await db.query<{ n: string }>(
    `select external_order_number as n from engine.deposit
      where settled_by is not null and told_at is null and external_order_number > $1
      order by external_order_number limit $2`,
    [after?.[0] ?? '', limit],
  );
  return toPage(
    rows,
    limit,
    ({ n }) => n,
    ({ n }) => [n],
  );
}

/** Returns deposits that wait as unknown although their answer has come since: their workflow has to be signaled. */
export async function findAnsweredLate(
  db: Db,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<{ readonly externalOrderNumber: string; readonly expiresAt: Date }>> {
  const { rows } = await db.query<Looked & { external_order_number: string; expires_at: Date }>(
    duePage({
      looked: () =>
        `select d.external_order_number, d.expires_at, d.created_at, d.redirect_url from engine.deposit d
          where d.state = 'PLACEMENT_UNKNOWN' and (d.created_at, d.external_order_number) > ($1::timestamptz, $2)`,
      order: ['created_at', 'external_order_number'],
      cursor: `array[${pageTime('d.created_at')}, d.external_order_number]`,
      isDue: 'redirect_url is not null',
      columns: 'd.external_order_number, d.expires_at',
      limit: '$3',
    }),
    [after?.[0] ?? '-infinity', after?.[1] ?? '', limit],
  );
  return toDuePage(rows, limit, (row) => ({
    externalOrderNumber: row.external_order_number,
    expiresAt: row.expires_at,
  }));
}

/** Returns open cases that are older than this, oldest first. */
export async function findOpenCases(
  db: Db,
  olderThanMs: number,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<CaseRow>> {
  const { rows } = await db.query<RawCase & { cursor_at: string }>(
    `select v.*, ${pageTime('v.opened_at')} as cursor_at from engine.case_now v
      where v.workflow_id = any(array(
        select v.workflow_id from engine.review_case v
         where num_nulls(v.closed_at) = 1 and (v.opened_at, v.workflow_id) > ($1::timestamptz, $2) and ${isOld('v.opened_at', '$3')}
         order by v.opened_at, v.workflow_id limit $4))
      order by v.opened_at, v.workflow_id`,
    [after?.[0] ?? '-infinity', after?.[1] ?? '', olderThanMs, limit],
  );
  return toPage(rows, limit, toCase, (row) => [row.cursor_at, row.workflow_id]);
}

/** A deposit that waits for a decision, and no case about its payment is open. */
export interface WithoutCase {
  readonly externalOrderNumber: string;
  readonly state: string;
  readonly inboxId: string | null;
  /** Of the payment since it was received, or of the deposit where there is none. */
  readonly ageMs: number;
}

/**
 * SQL: no case of deposit `d` is open. Looked up for each deposit, in the statement that reads it, because a decision
 * closes the case and the deposit at once.
 */
const HAS_NO_CASE = `
  (select true from engine.review_case v where v.callback = d.bound_callback and v.closed_at is null limit 1) is null`;
/** SQL: the columns of a {@link WithoutCase}, of a deposit `d` and its callback `c`. */
const WITHOUT_CASE = `
  d.external_order_number as "externalOrderNumber", d.state, d.bound_callback as "inboxId",
  ${ageMsOf('coalesce(c.received_at, d.created_at)')} as "ageMs"`;

/** Returns deposits in IN_REVIEW (or in CREDITING, which no row has) without an open case, oldest first. */
export async function findWithoutCase(
  db: Db,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<WithoutCase>> {
  const { rows } = await db.query<WithoutCase & Looked>(
    duePage({
      // One index scan per state: a scan of both would sort them whole.
      looked: (limit) =>
        ['IN_REVIEW', 'CREDITING']
          .map(
            (state) => `(select d.external_order_number, d.state, d.bound_callback, d.created_at from engine.deposit d
              where d.state = '${state}' and (d.created_at, d.external_order_number) > ($1::timestamptz, $2)
              order by d.created_at, d.external_order_number limit ${limit})`,
          )
          .join(' union all '),
      order: ['created_at', 'external_order_number'],
      cursor: `array[${pageTime('d.created_at')}, d.external_order_number]`,
      isDue: HAS_NO_CASE,
      columns: WITHOUT_CASE,
      joined: 'left join engine.callback c on c.id = d.bound_callback',
      limit: '$3',
    }),
    [after?.[0] ?? '-infinity', after?.[1] ?? '', limit],
  );
  return toDuePage(rows, limit, ({ externalOrderNumber, state, inboxId, ageMs }) => ({
    externalOrderNumber,
    state,
    inboxId,
    ageMs,
  }));
}

/** Returns an open deposit whose payment has an outcome and no open case; null: the deposit is not such a one. */
export async function withoutCaseOf(db: Db, externalOrderNumber: string): Promise<WithoutCase | null> {
  const { rows } = await db.query<WithoutCase>(
    `select ${WITHOUT_CASE} from engine.deposit d left join engine.callback c on c.id = d.bound_callback
      where ${HAS_NO_CASE} and c.outcome is not null and d.closed_at is null and d.external_order_number = $1`,
    [externalOrderNumber],
  );
  return rows[0] ?? null;
}

/** Proposals that may wait for their second operator, before the newest of them are all that is looked at. */
const PROPOSALS = 1_000;

/**
 * Returns decisions that were confirmed longer ago than this and have no result: how many, and the oldest; null: there
 * are none. Looks at the newest proposals of open cases, a limited number.
 */
export async function findNotCarriedOut(
  db: Db,
  olderThanMs: number,
): Promise<(Counted & { readonly case: string; readonly ageMs: number }) | null> {
  const { rows } = await db.query<Counted & { case: string; ageMs: number }>(
    `select v.workflow_id as case, ${COUNTED}, ${ageMsOf('k.at')} as "ageMs"
       from (select v.workflow_id, v.proposal from engine.review_case v
              where v.closed_at is null and v.proposal is not null order by v.proposal desc limit ${PROPOSALS}) v
      cross join lateral (
        select min(k.at) as at from engine.decision k
         where k.workflow_id = v.workflow_id and k.proposal = v.proposal and k.step = 'confirm'
           and not exists (select from engine.refused_step r where r.decision = k.id)) k
      where ${isOld('k.at', '$1')} and not exists (select from engine.carried r where r.proposal = v.proposal)
      order by k.at limit 1`,
    [olderThanMs],
  );
  return rows[0] ?? null;
}

/** Returns cases whose deposit has turned up since they were opened: a key that is limited to its wallet does not list them yet. */
export async function findWithoutWallet(db: Db, after: readonly string[] | null, limit: number): Promise<Page<string>> {
  const { rows } = await db.query<Looked & { workflow_id: string }>(
    duePage({
      looked: () => `select v.workflow_id, v.opened_at, v.callback from engine.review_case v
        where num_nulls(v.wallet) = 1 and (v.opened_at, v.workflow_id) > ($1::timestamptz, $2)`,
      order: ['opened_at', 'workflow_id'],
      cursor: `array[${pageTime('d.opened_at')}, d.workflow_id]`,
      isDue: `exists (select from engine.callback c join engine.deposit o on o.external_order_number = c.external_order_number
                       where c.id = d.callback)`,
      key: 'workflow_id',
      columns: 'd.workflow_id',
      limit: '$3',
    }),
    [after?.[0] ?? '-infinity', after?.[1] ?? '', limit],
  );
  return toDuePage(rows, limit, (row) => row.workflow_id);
}

/** Writes the wallet of a case whose deposit has turned up. False: there was nothing to write. */
export async function nameWallet(db: Db, workflowId: string): Promise<boolean> {
  const { rows } = await db.query<{ named: boolean }>('select engine.name_wallet($1) as named', [workflowId]);
  return rows[0]!.named;
}

const CASES_AT_ONCE = 500;

/** Returns the money in suspense that open cases are about, one posting for each. */
async function heldByCases(
  db: Db,
  after: readonly string[],
): Promise<Page<{ readonly tip: string; readonly amount: string } | null>> {
  const { rows } = await db.query<{ tip: string; amount: string | null; cursor: string[] }>(
    `select v.tip, array[${pageTime('v.opened_at')}, v.workflow_id] as cursor,
            (select case when t.amount > 0 then t.amount - t.fee else -t.amount end
               from ledger.transaction t where t.id = v.tip and v.standing in ('parked', 'withdrawn'))::text as amount
       from engine.case_now v
      where v.workflow_id = any(array(
        select v.workflow_id from engine.review_case v
         where num_nulls(v.closed_at) = 1 and (v.opened_at, v.workflow_id) > ($1::timestamptz, $2)
         order by v.opened_at, v.workflow_id limit $3))
      order by v.opened_at, v.workflow_id`,
    [...after, CASES_AT_ONCE],
  );
  const held = ({ tip, amount }: (typeof rows)[number]) => (amount === null ? null : { tip, amount });
  return toPage(rows, CASES_AT_ONCE, held, ({ cursor }) => cursor);
}

/**
 * Returns the amount in suspense that is in no open case: decimal text, "0" when all of it is. The rest of a payment
 * whose ordered part went into a wallet belongs to that credit. One snapshot, so that nothing is booked in between; no
 * statement reads more than {@link CASES_AT_ONCE} cases.
 */
export const suspenseWithoutCase = (pool: pg.Pool): Promise<string> =>
  inTransaction(pool, async (client) => {
    await client.query('set transaction isolation level repeatable read, read only');
    const held = new Map<string, string>();
    for (let after: readonly string[] | null = ['-infinity', '']; after !== null; ) {
      const page: Page<{ readonly tip: string; readonly amount: string } | null> = await heldByCases(client, after);
      for (const money of page.rows) if (money !== null) held.set(money.tip, money.amount);
      after = page.end;
    }
    const { rows } = await client.query<{ amount: string }>(
      `select trim_scale(coalesce((select -b.amount from ledger.account a join ledger.balance b on b.account_id = a.id where a.code = 'suspense:mtpay'), 0)
                - coalesce((select sum(held) from unnest($1::numeric[]) held), 0)
                - coalesce((select sum(t.rest) from ledger.transaction t where t.rest is not null), 0))::text as amount`,
      [[...held.values()]],
    );
    return rows[0]!.amount;
  });
