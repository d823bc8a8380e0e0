import type pg from 'pg';
import type { Db } from '../pool.ts';
import { execute, statement } from '../statements.ts';

/** The stored answer to one placement attempt; never holds personal data. */
export type StoredAnswer =
  | {
      readonly kind: 'placed';
      readonly redirectUrl: string;
      readonly advertisementCode: string;
      readonly providerTimeMs: number | null;
    }
  | { readonly kind: 'refused'; readonly statusCode: string; readonly message: string }
  /** `gridRefused`: its stamp lay on our grid, and nothing else that we know explains why it was refused. */
  | { readonly kind: 'not_sent'; readonly cause: string; readonly gridRefused?: true }
  | { readonly kind: 'unknown'; readonly cause: string }
  | { readonly kind: 'closed'; readonly cause: ClosingReason };

/**
 * Why an order gets no further attempt; the database has the list.
 * - NOT_SENT, TOO_LATE, RESTORED.
 * - The provider's code for a signature that may have been refused for its stamp. The free millisecond was due then,
 *   and could not be tried any more.
 */
export type ClosingReason = string;

export interface Attempt {
  readonly n: number;
  readonly outcome: StoredAnswer['kind'] | null;
  readonly answer: StoredAnswer | null;
  /** How long the run that opened it may still be sending, in ms. */
  readonly remainingMs: number;
}

export interface RawAttempt extends Omit<Attempt, 'remainingMs'> {
  readonly remaining_ms: string;
}

/** SQL: the newest {@link RawAttempt} of this order. */
export const newestAttempt = (order: string): string =>
  `select p.n, p.outcome, p.answer, ceil(extract(epoch from p.deadline - clock_timestamp()) * 1000)::bigint as remaining_ms
     from engine.placement_attempt p where p.external_order_number = ${order} order by p.n desc limit 1`;

export const toAttempt = ({ remaining_ms, ...attempt }: RawAttempt): Attempt => ({
  ...attempt,
  remainingMs: Number(remaining_ms),
});

const LAST_ATTEMPT = statement(newestAttempt('$1'));

/** The newest attempt of an order, or null when nothing was ever tried. */
export async function lastAttempt(db: Db, externalOrderNumber: string): Promise<Attempt | null> {
  const { rows } = await execute<RawAttempt>(db, LAST_ATTEMPT, [externalOrderNumber]);
  return rows[0] === undefined ? null : toAttempt(rows[0]);
}

/**
 * Returns why attempts of an order were not sent: all of them, because the provider may have been out of reach in
 * between.
 */
export async function notSent(
  db: Db,
  externalOrderNumber: string,
): Promise<{ readonly cause: string; readonly gridRefused: boolean }[]> {
  const { rows } = await db.query<{ cause: string; gridRefused: boolean }>(
    `select coalesce(answer->>'cause', '') as cause, answer @> '{"gridRefused": true}' as "gridRefused"
       from engine.placement_attempt where external_order_number = $1 and outcome = 'not_sent' order by n`,
    [externalOrderNumber],
  );
  return rows;
}

const BEGIN_ATTEMPT = statement('select engine.begin_attempt($1, $2, $3, $4, $5) as opened');

/**
 * Claims attempt n and the stamp it will be signed with, before anything is sent. False: another run has it. The
 * caller has seen that attempt n - 1 was surely not sent. Several attempts may share a stamp: it is noted once.
 */
export async function openAttempt(
  pool: pg.Pool,
  attempt: {
    readonly externalOrderNumber: string;
    readonly n: number;
    readonly deadlineMs: number;
    readonly keyId: string;
    readonly timestampMs: number;
  },
): Promise<boolean> {
  const { rows } = await execute<{ opened: boolean }>(pool, BEGIN_ATTEMPT, [
    attempt.externalOrderNumber,
    attempt.n,
    attempt.deadlineMs,
    attempt.keyId,
    attempt.timestampMs,
  ]);
  return rows[0]!.opened;
}

/**
 * Inserts an attempt that was never sent, so that no late run can send. Returns true when no attempt had its number.
 */
export async function closeAttempts(
  db: Db,
  externalOrderNumber: string,
  n: number,
  cause: ClosingReason,
): Promise<boolean> {
  const { rows } = await db.query<{ closed: boolean }>('select engine.close_attempts($1, $2, $3) as closed', [
    externalOrderNumber,
    n,
    cause,
  ]);
  return rows[0]!.closed;
}

/** When a workflow and its row began. RFC 3339. */
export interface Beginning {
  readonly startedAt: string;
  readonly reservedAt?: string;
}

/** Temporal's clock and ours may differ; a row this much younger than its workflow was written a second time. */
const CLOCKS_DIFFER_MS = 5 * 60_000;

/**
 * SQL of a deposit `d`: whether its order, without an attempt, may have been placed all the same. The workflow's
 * {@link beginning} is $2, $3; false without a workflow. True:
 * - The row is not the one that its workflow was started for. An older workflow does not know its row's time: then the
 *   row is another when it is much younger than the workflow, by Temporal's clock.
 * - The row or the workflow is from before this database was restored.
 */
export const MAY_HAVE_BEEN_PLACED = `($2::timestamptz is not null and (
  case when $3::timestamptz is null then d.created_at > $2::timestamptz + ${CLOCKS_DIFFER_MS} * interval '1 millisecond'
       else date_trunc('milliseconds', d.created_at) <> $3::timestamptz end
    or exists (select from engine.restored r where r.at >= least(d.created_at, coalesce($3, $2::timestamptz)))))`;

export const beginning = (of: Beginning | undefined): (string | null)[] => [
  of?.startedAt ?? null,
  of?.reservedAt ?? null,
];

const MAY_HAVE_BEEN = statement(
  `select ${MAY_HAVE_BEEN_PLACED} as may from engine.deposit d where d.external_order_number = $1`,
);

export async function mayHaveBeenPlaced(db: Db, externalOrderNumber: string, began: Beginning): Promise<boolean> {
  const { rows } = await execute<{ may: boolean }>(db, MAY_HAVE_BEEN, [externalOrderNumber, ...beginning(began)]);
  return rows[0]?.may === true;
}

/** Notes that this database was restored. Returns how many orders are still being placed, without an attempt. */
export async function noteRestored(db: Db): Promise<{ readonly at: Date; readonly waiting: number }> {
  const { rows } = await db.query<{ at: Date; waiting: number }>(
    `with noted as (insert into engine.restored default values returning at)
     select at, (select count(*)::int from engine.deposit d where d.state = 'PLACING' and not exists (
                   select from engine.placement_attempt a where a.external_order_number = d.external_order_number)) as waiting
       from noted`,
  );
  return rows[0]!;
}

/** Whether this database was restored after a workflow had begun. */
export async function wasRestoredSince(db: Db, startedAt: Date): Promise<boolean> {
  const { rows } = await db.query<{ was: boolean }>(
    'select exists (select from engine.restored r where r.at >= $1) as was',
    [startedAt],
  );
  return rows[0]?.was === true;
}

/** Closes an order whose attempts are lost as unknown: it is never placed again. Idempotent. */
export async function closeAsUnknown(pool: pg.Pool, externalOrderNumber: string): Promise<void> {
  await closeAttempts(pool, externalOrderNumber, 1, 'RESTORED');
}

/**
 * Stores the answer to attempt n, once. A later answer to an attempt that was settled as unknown is stored and moves
 * the deposit on, but never changes what was decided. Returns the answer that is valid afterwards.
 */
export async function settleAttempt(
  pool: pg.Pool,
  externalOrderNumber: string,
  n: number,
  answer: StoredAnswer,
): Promise<StoredAnswer> {
  const { rows } = await pool.query<{ stands: StoredAnswer }>('select engine.end_attempt($1, $2, $3) as stands', [
    externalOrderNumber,
    n,
    answer,
  ]);
  return rows[0]!.stands;
}

/** The valid answer, with what its deposit shows afterwards. */
export interface Concluded {
  readonly stands: StoredAnswer;
  /** The payment window's end; null: none has begun. */
  readonly expiresAt: Date | null;
}

const CONCLUDE = statement('select stands, expires_at as "expiresAt" from engine.conclude_attempt($1, $2, $3)');

/** As {@link settleAttempt}; a deposit with an order awaits its payment from then on. */
export async function concludeAttempt(
  pool: pg.Pool,
  externalOrderNumber: string,
  n: number,
  answer: StoredAnswer,
): Promise<Concluded> {
  const { rows } = await execute<Concluded>(pool, CONCLUDE, [externalOrderNumber, n, answer]);
  return rows[0]!;
}
