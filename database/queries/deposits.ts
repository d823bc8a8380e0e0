import { type Credit, type DepositStanding, sumOf } from '../../domain/credits.ts';
import { DEPOSIT_STATES, type DepositState } from '../../domain/deposit.ts';
import { type DepositSettings, type Language, type Order, PROVIDER_NAMES } from '../../domain/order.ts';
import { creditsOf, type RawCredit, toCredits } from './credits.ts';
import { DEPOSIT_COLUMNS, type DepositRow, pageTime } from './rows.ts';
import type { Db } from '../pool.ts';
import { execute, statement } from '../statements.ts';
import {
  type Attempt,
  beginning,
  type Beginning,
  MAY_HAVE_BEEN_PLACED,
  newestAttempt,
  type RawAttempt,
  toAttempt,
} from './placements.ts';

/** The channel of notifications that a placement was settled; the payload is the order number. */
export const SETTLED_CHANNEL = 'deposit_settled';

export interface Reservation extends Order {
  readonly supportLanguage: Language;
  readonly payerName: Buffer;
  readonly payerNameKey: string;
  readonly fingerprint: Buffer;
  readonly settings: DepositSettings;
}

const RESERVE = statement(
  `insert into engine.deposit as d (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code,
                                    support_language, payer_name, payer_name_key, fingerprint, settings)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing returning ${DEPOSIT_COLUMNS}`,
);

/** Writes the row that answers every repeat. Null: the number exists already, with the same or other parameters. */
export async function reserve(db: Db, deposit: Reservation): Promise<DepositRow | null> {
  const { rows } = await execute<DepositRow>(db, RESERVE, [
    deposit.externalOrderNumber,
    deposit.wallet,
    deposit.buyCoinMode,
    deposit.mtcAmount,
    deposit.totalPrice,
    deposit.currencyCode,
    deposit.supportLanguage,
    deposit.payerName,
    deposit.payerNameKey,
    deposit.fingerprint,
    deposit.settings,
  ]);
  return rows[0] ?? null;
}

const DEPOSIT = statement(`select ${DEPOSIT_COLUMNS} from engine.deposit d where external_order_number = $1`);

export async function findDeposit(db: Db, externalOrderNumber: string): Promise<DepositRow | null> {
  const { rows } = await execute<DepositRow>(db, DEPOSIT, [externalOrderNumber]);
  return rows[0] ?? null;
}

/** Another payment of this order number, whose case is open: no machine credits it, and none refuses it. */
export interface OtherPayment {
  readonly case: string;
  readonly reason: string;
  readonly openedAt: Date;
  /** From the callback; null: it could not be read. */
  readonly transactionCode: string | null;
  readonly amount: string | null;
}

/** A deposit with its facts from the inbox and the books, as callers of the API see it. */
export interface DepositView extends DepositRow {
  /** The bound callback's code; the code of the payment that was credited once there is one. */
  readonly transactionCode: string | null;
  /** Every posting that put money into a wallet for this deposit, oldest first. */
  readonly credits: readonly Credit[];
  readonly standing: DepositStanding;
  /** The sum of the credits that were not reversed; null before any credit. */
  readonly creditedAmount: string | null;
  readonly attempts: { readonly count: number; readonly lastAt: Date | null };
  /**
   * The posting that took the deposit's last credit out of its wallet; `kept`: the money is in suspense. Null: none
   * did.
   */
  readonly reversal: { readonly postingId: string; readonly at: Date; readonly kept: boolean } | null;
  readonly otherPayments: readonly OtherPayment[];
  /** The provider's own words when it refused the order. */
  readonly refusalMessage: string | null;
}

interface RawDepositView extends DepositRow, Pick<DepositView, 'transactionCode' | 'refusalMessage'> {
  count: number;
  lastAt: Date | null;
  raw: RawCredit[] | null;
  others: (Omit<OtherPayment, 'openedAt'> & { readonly openedAt: string })[] | null;
  root: string | null;
  place: string | null;
  cursor: string;
}

const VIEW = `
  select ${DEPOSIT_COLUMNS}, coalesce(m.provider_code, c.transaction_code) as "transactionCode", a.count, a."lastAt",
         case when d.state = 'PLACEMENT_REFUSED' then
           (select answer->>'message' from engine.placement_attempt p
             where p.external_order_number = d.external_order_number and outcome = 'refused' limit 1)
         end as "refusalMessage",
         m.root, m.place, k.credits as raw, o.others, ${pageTime('d.created_at')} as cursor
    from engine.deposit d
    left join engine.callback c on c.id = d.bound_callback
    -- The money the deposit ended with: its code, and where it is now. As ledger.root() and tip() say, without a call a row.
    left join lateral (
      select r.id::text as root, r.provider_code, ledger.place(t) as place
        from ledger.transaction r
        join ledger.transaction t on t.id = coalesce((select max(l.transaction_id) from ledger.lineage l where l.root = r.id), r.id)
       where r.id = coalesce((select l.root from ledger.lineage l where l.transaction_id = d.posting_id), d.posting_id)) m on true
    cross join lateral (${creditsOf('d.external_order_number')}) k
    cross join lateral (
      select json_agg(json_build_object('case', v.workflow_id, 'reason', v.reason, 'openedAt', v.opened_at,
                                        'transactionCode', o.transaction_code, 'amount', o.data->>'transactionAmount')
                      order by v.opened_at, v.workflow_id) as others
        from engine.callback o
        -- One at most; said once more, so that it is looked up and the open cases are never read as a whole.
        cross join lateral (
          select v.workflow_id, v.reason, v.opened_at from engine.review_case v
           where v.callback = o.id and v.closed_at is null limit 1) v
       where o.external_order_number = d.external_order_number and (o.id is distinct from d.bound_callback or v.reason = 'WORKFLOW_GONE')) o
    cross join lateral (select coalesce(sum(attempts), 0)::int as count, max(last_at) as "lastAt"
                          from engine.callback where external_order_number = d.external_order_number) a`;

function toView(row: RawDepositView): DepositView {
  const { raw, others, count, lastAt, root, place, cursor: _, ...deposit } = row;
  const credits = toCredits(raw);
  return {
    ...deposit,
    credits,
    ...sumOf(credits),
    attempts: { count, lastAt },
    reversal: reversalOf({ raw, root, place }, credits),
    otherPayments: (others ?? []).map((other) => ({ ...other, openedAt: new Date(other.openedAt) })),
  };
}

type Ending = Pick<RawDepositView, 'raw' | 'root' | 'place'>;

/** Returns the posting that took the credit that the deposit ended with out of its wallet, unless it was put back. */
function reversalOf({ raw, root, place }: Ending, credits: readonly Credit[]): DepositView['reversal'] {
  const roots = new Map((raw ?? []).map((credit) => [credit.postingId, credit.root]));
  const newest = credits.findLast((credit) => root !== null && roots.get(credit.postingId) === root);
  if (newest === undefined || newest.reversed === null) return null;
  return { ...newest.reversed, kept: place?.startsWith('suspense:') === true };
}

const ONE_VIEW = statement(`${VIEW} where d.external_order_number = $1`);

export async function viewDeposit(db: Db, externalOrderNumber: string): Promise<DepositView | null> {
  const { rows } = await execute<RawDepositView>(db, ONE_VIEW, [externalOrderNumber]);
  return rows[0] === undefined ? null : toView(rows[0]);
}

const VERSIONS = statement(
  `select d.external_order_number as n, d.state || ':' || coalesce(e.sequence, 0) as version from engine.deposit d
     left join lateral (select e.sequence from engine.event e where e.subject = d.external_order_number
                         order by e.sequence desc limit 1) e on true
    where d.external_order_number = any($1)`,
);

/** Returns for each of these deposits a text that is another one whenever its state is, or it has a new event. */
export async function findVersions(db: Db, orderNumbers: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await execute<{ n: string; version: string }>(db, VERSIONS, [orderNumbers]);
  return new Map(rows.map(({ n, version }) => [n, version]));
}

export interface DepositFilter {
  /** In one of these. */
  readonly state?: readonly DepositState[] | undefined;
  readonly wallet?: string | undefined;
  readonly createdFrom?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  /** For which a payment of this code came, or was credited. */
  readonly transactionCode?: string | undefined;
  /** The list is then in the order of the numbers. */
  readonly orderPrefix?: string | undefined;
  /** Only deposits of these; null: of every wallet. */
  readonly wallets?: readonly string[] | null;
  /** Where the previous page ended: microseconds as text, so that no precision is lost, and the order number. */
  readonly after?: PageEnd | undefined;
  readonly limit: number;
}
export interface PageEnd {
  readonly createdAt: string;
  readonly externalOrderNumber: string;
}
export interface PageOfDeposits {
  readonly items: DepositView[];
  /** Where the next page begins; null: there is none. */
  readonly end: PageEnd | null;
}

/** Deposits that a page by prefix looks at, at most: with further filters it may be short and not the last. */
const LOOKED_AT = 1_000;

/** Newest first; with a prefix in the order of the numbers. */
export async function listDeposits(db: Db, filter: DepositFilter): Promise<PageOfDeposits> {
  const { state, wallet, wallets = null, transactionCode, orderPrefix, limit } = filter;
  const values: unknown[] = [];
  const given = (value: unknown): string => `$${values.push(value)}`;
  const allowed = wallet === undefined ? wallets : [wallet].filter((one) => wallets?.includes(one) !== false);
  const order = orderPrefix === undefined ? 'd.created_at desc, d.external_order_number desc' : BY_NUMBER;
  const others = () => [
    ...timeConditions(filter, given),
    ...(state === undefined ? [] : [`d.state = any(${given(state)})`]),
  ];
  const view = (numbers: string, atMost: string) =>
    `${VIEW} where d.external_order_number = any(${numbers}) order by ${order} limit ${atMost}`;
  const read = async (found: string) => {
    const numbers = `array(select d.external_order_number from (${found}) d)`;
    const { rows } = await db.query<RawDepositView>(view(numbers, given(limit + 1)), values);
    return { items: rows.slice(0, limit).map(toView), end: rows.length > limit ? endOf(rows[limit - 1]!) : null };
  };
  const page = (from: string, conditions: readonly string[], atMost: string) =>
    `select d.external_order_number, d.created_at, d.state from ${from}
      where ${[...conditions, 'true'].join(' and ')} order by ${order} limit ${atMost}`;

  if (transactionCode !== undefined) {
    const where = [...others(), ...pageConditions(filter, given)];
    if (allowed !== null) where.push(`d.wallet = any(${given(allowed)})`);
    return read(page(ofCode(given(transactionCode), given(PROVIDER_NAMES)), where, given(limit + 1)));
  }

  // The first of each value before the first of all: a scan in the order of the page would pass those with another value.
  const isNarrowed =
    orderPrefix !== undefined && [state, filter.createdFrom, filter.createdBefore].some((one) => one !== undefined);
  const atMost = given(isNarrowed ? LOOKED_AT : limit + 1);
  const of: Readonly<Record<string, string>> = {
    ...(allowed === null ? {} : { wallet: given(allowed) }),
    ...(orderPrefix !== undefined || (allowed === null && state === undefined)
      ? {}
      : { state: given(state ?? DEPOSIT_STATES) }),
  };
  const columns = Object.keys(of);
  const conditions = [
    ...(orderPrefix === undefined ? timeConditions(filter, given) : []),
    ...pageConditions(filter, given),
    ...columns.map((column) => `d.${column} = of_${column}.${column}`),
  ];
  const first = page('engine.deposit d', conditions, atMost);
  const found =
    columns.length === 0
      ? first
      : `select d.external_order_number, d.created_at, d.state
           from ${columns.map((column) => `(select distinct unnest(${of[column]}::text[]) as ${column}) of_${column}`).join(' cross join ')}
          cross join lateral (${first}) d order by ${order} limit ${atMost}`;
  if (!isNarrowed) return read(found);
  const { rows: looked } = await db.query<PageEnd & { fits: boolean }>(
    `select d.external_order_number as "externalOrderNumber", ${pageTime('d.created_at')} as "createdAt",
            ${others().join(' and ')} as fits from (${found}) d order by ${order}`,
    values,
  );
  const fitting = looked.filter(({ fits }) => fits);
  const shown = fitting.slice(0, limit);
  const last = fitting.length > limit ? shown.at(-1) : looked.length === LOOKED_AT ? looked.at(-1) : undefined;
  const numbers = shown.map((one) => one.externalOrderNumber);
  const { rows } = await db.query<RawDepositView>(view('$1', '$2'), [numbers, limit]);
  return {
    items: rows.map(toView),
    end: last === undefined ? null : { createdAt: last.createdAt, externalOrderNumber: last.externalOrderNumber },
  };
}

const endOf = ({ cursor, externalOrderNumber }: RawDepositView): PageEnd => ({
  createdAt: cursor,
  externalOrderNumber,
});

type Given = (value: unknown) => string;

/** SQL: the time of creation. */
const timeConditions = ({ createdFrom, createdBefore }: DepositFilter, given: Given): string[] => [
  ...(createdFrom === undefined ? [] : [`d.created_at >= ${given(createdFrom)}`]),
  ...(createdBefore === undefined ? [] : [`d.created_at < ${given(createdBefore)}`]),
];

/** SQL: after the previous page, and within the prefix. No letter of an order number comes after `~`. */
function pageConditions({ orderPrefix, after }: DepositFilter, given: Given): string[] {
  if (orderPrefix === undefined) {
    if (after === undefined) return [];
    return [
      `(d.created_at, d.external_order_number) < (${given(after.createdAt)}, ${given(after.externalOrderNumber)})`,
    ];
  }
  return [
    `d.external_order_number ~>=~ ${given(orderPrefix)}`,
    `d.external_order_number ~<~ ${given(`${orderPrefix}~`)}`,
    ...(after === undefined ? [] : [`d.external_order_number ~>~ ${given(after.externalOrderNumber)}`]),
  ];
}

/** SQL: byte by byte. */
const BY_NUMBER = 'd.external_order_number using ~<~';

/** SQL: the few deposits for which a payment of this code came, or was credited; each is looked up. */
const ofCode = (code: string, providers: string): string => `(
    select c.external_order_number as n from engine.callback c where c.transaction_code = ${code}
    union select t.deposit collate "default" from ledger.transaction t where t.provider = any(${providers}) and t.provider_code = ${code}) k
   cross join lateral (
     select d.external_order_number, d.created_at, d.state, d.wallet from engine.deposit d
      where d.external_order_number = k.n limit 1) d`;

/** The row as placement reads it: the only place that sees the encrypted name. Null: erased, or no longer needed. */
export interface PlacementRow extends DepositRow {
  readonly payerName: Buffer | null;
  readonly payerNameKey: string | null;
  readonly ageMs: number;
  /** The newest attempt of its order; null: nothing was ever tried. */
  readonly last: Attempt | null;
  /** As `mayHaveBeenPlaced` returns. */
  readonly mayHaveBeenPlaced: boolean;
}

const FOR_PLACEMENT = statement(
  `select ${DEPOSIT_COLUMNS}, n.payer_name as "payerName", n.payer_name_key as "payerNameKey",
          (extract(epoch from clock_timestamp() - d.created_at) * 1000)::bigint::float8 as "ageMs",
          ${MAY_HAVE_BEEN_PLACED} as "mayHaveBeenPlaced", a.*
     from engine.deposit d cross join lateral engine.payer_name_for_placement(d.external_order_number) n
     left join lateral (${newestAttempt('d.external_order_number')}) a on true
    where external_order_number = $1`,
);

export async function findForPlacement(
  db: Db,
  externalOrderNumber: string,
  began?: Beginning,
): Promise<PlacementRow | null> {
  const { rows } = await execute<Omit<PlacementRow, 'last'> & (RawAttempt | Record<keyof RawAttempt, null>)>(
    db,
    FOR_PLACEMENT,
    [externalOrderNumber, ...beginning(began)],
  );
  if (rows[0] === undefined) return null;
  const { n, outcome, answer, remaining_ms, ...deposit } = rows[0];
  return { ...deposit, last: n === null ? null : toAttempt({ n, outcome, answer, remaining_ms }) };
}

/** The end of a row that is final although its workflow may go on, and its credit. */
export interface Settlement {
  readonly state: 'CREDITED' | 'REJECTED';
  readonly postingId: string | null;
  readonly late: boolean;
  readonly transactionCode: string | null;
}

/** Returns how a row ended; null while it is open, and where it ended without a payment. */
export async function findSettlement(db: Db, externalOrderNumber: string): Promise<Settlement | null> {
  const { rows } = await db.query<Settlement>(
    `select d.state, d.posting_id as "postingId", d.late, coalesce(ledger.code(d.posting_id), c.transaction_code) as "transactionCode"
       from engine.deposit d left join engine.callback c on c.id = d.bound_callback
      where d.external_order_number = $1 and d.state in ('CREDITED', 'REJECTED')`,
    [externalOrderNumber],
  );
  return rows[0] ?? null;
}

const STEP = statement('select engine.deposit_step($1, $2, $3) as done');

/**
 * Writes a state that moves no money and closes nothing. Each follows one state only, so that a late run overwrites
 * nothing. Returns the payment window's end in the row; null: the row has no checkout link. Throws SQLSTATE `P0E54`
 * when the window has not ended by the database's clock; a retry helps.
 */
export async function writeState(
  db: Db,
  externalOrderNumber: string,
  state: 'AWAITING_PAYMENT' | 'EXPIRED',
): Promise<{ readonly expiresAt: string | null }> {
  await execute(db, STEP, [externalOrderNumber, state, null]);
  const row = await findDeposit(db, externalOrderNumber);
  return { expiresAt: row?.redirectUrl === null ? null : (row?.expiresAt?.toISOString() ?? null) };
}

/**
 * Adopts an open row whose workflow is gone, or that PostgreSQL lost and has again in an older state: its order is
 * never placed again. A row that is PLACING becomes PLACEMENT_UNKNOWN, with the payment window's end that its workflow
 * knows, if any. The answers to its attempts stay valid. False: nothing was changed.
 */
export async function adoptDeposit(
  db: Db,
  externalOrderNumber: string,
  expiresAt: string | null = null,
): Promise<boolean> {
  const { rows } = await db.query<{ adopted: boolean }>('select engine.adopt_deposit($1, $2) as adopted', [
    externalOrderNumber,
    expiresAt,
  ]);
  return rows[0]!.adopted;
}

/**
 * Ends a deposit without money, under its row's lock. `bound`: a callback is bound to it; `settled`: its row has ended
 * otherwise; null: there is no row. In these cases nothing was written. Throws SQLSTATE `P0E54` when it is too early; a
 * retry helps.
 */
export async function markClosed(
  db: Db,
  externalOrderNumber: string,
  state: 'PLACEMENT_REFUSED' | 'UNPAID',
  refusal: string | null,
): Promise<'done' | 'bound' | 'settled' | null> {
  const { rows } = await execute<{ done: 'done' | 'bound' | 'settled' | null }>(db, STEP, [
    externalOrderNumber,
    state,
    refusal,
  ]);
  return rows[0]!.done;
}

export async function markTold(db: Db, externalOrderNumber: string): Promise<void> {
  await db.query('select engine.told($1)', [externalOrderNumber]);
}

/** Returns which of these deposits have no row, and which were credited or rejected longer ago than this. */
export async function endedOrMissing(
  db: Db,
  externalOrderNumbers: readonly string[],
  olderThanMs: number,
): Promise<{ readonly ended: readonly string[]; readonly missing: readonly string[] }> {
  const { rows } = await db.query<{ n: string; ended: boolean; missing: boolean }>(
    `select n, d.external_order_number is null as missing,
            coalesce(d.state in ('CREDITED', 'REJECTED') and d.closed_at < clock_timestamp() - $2 * interval '1 millisecond', false) as ended
       from unnest($1::text[]) n left join engine.deposit d on d.external_order_number = n`,
    [externalOrderNumbers, olderThanMs],
  );
  const of = (which: 'ended' | 'missing') => rows.filter((row) => row[which]).map((row) => row.n);
  return { ended: of('ended'), missing: of('missing') };
}

/** Whether there was never a deposit here. */
export async function isEmpty(db: Db): Promise<boolean> {
  const { rows } = await db.query<{ empty: boolean }>(
    `select (select external_order_number from engine.deposit order by external_order_number limit 1) is null as empty`,
  );
  return rows[0]!.empty;
}
