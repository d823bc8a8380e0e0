import type pg from 'pg';
import type { Finding } from '../report/report.ts';

/** A deposit or a case of which the archive has no history: open, closing, or said to be either. */
export interface OpenWorkflow {
  /** The workflow's. */
  readonly id: string;
  /** The deposit that it is of. */
  readonly n: string;
  /** Since when there is a row, by the database's clock: nobody who works for the engine can say it. */
  readonly since: Date;
  readonly ageMs: number;
  /** As the row says, which proves nothing. */
  readonly closedAt: string | null;
  /** It held a case that another workflow holds now. */
  readonly isEarlier: boolean;
}

/**
 * Whatever a row says of its state and its times, what is not in the archive is looked at. What says that it is not closed
 * is looked at too: that only adds to it. A history that was lost is told as that.
 */
const UNARCHIVED = `
  select w.id, w.n, w.since, (extract(epoch from clock_timestamp() - w.since) * 1000)::float8 as "ageMs", w.closed_at::text as "closedAt",
         w.is_earlier as "isEarlier" from (
    select 'deposit:' || d.external_order_number as id, d.external_order_number as n, d.created_at as since, d.closed_at, false as is_earlier
      from engine.deposit d
    union all
    select h.id, c.external_order_number, c.received_at, v.closed_at, h.is_earlier
      from engine.review_case v join engine.callback c on c.id = v.callback
     cross join lateral (select coalesce(v.held_by, v.workflow_id) as id, false as is_earlier
                         union all select v.workflow_id, true where v.held_by <> v.workflow_id) h
     where v.workflow_id not like 'deposit:%') w
    left join (select distinct workflow_id from engine.archive) a on a.workflow_id = w.id
    left join engine.archive_lost l on l.workflow_id = w.id
   where (a.workflow_id is null or w.closed_at is null and not w.is_earlier) and l.workflow_id is null`;

const BATCH = 25;

/** In batches, in one pass over the tables. `deposit`: its own alone; null: all. */
export async function* unarchivedRows(db: pg.ClientBase, deposit: string | null): AsyncGenerator<OpenWorkflow[]> {
  const scope = deposit === null ? '' : ` and w.n = ${quoted(deposit)}`;
  await db.query(`declare unarchived no scroll cursor for ${UNARCHIVED}${scope}`);
  for (;;) {
    const { rows } = await db.query<OpenWorkflow>(`fetch ${BATCH} from unarchived`);
    if (rows.length > 0) yield rows;
    if (rows.length < BATCH) break;
  }
  await db.query('close unarchived');
}

/** A cursor's statement takes no parameters. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Those of these that are not archived now, as their rows are in this session. */
export async function unarchivedAmong(db: pg.ClientBase, among: readonly OpenWorkflow[]): Promise<OpenWorkflow[]> {
  const { rows } = await db.query<OpenWorkflow>(`${UNARCHIVED} and w.n = any($1) and w.id = any($2)`, [
    among.map(({ n }) => n),
    among.map(({ id }) => id),
  ]);
  return rows;
}

/** Of a row whose history nobody has. */
export function withoutHistory({ id, closedAt, isEarlier }: OpenWorkflow): Finding[] {
  if (closedAt !== null) {
    const detail = `closed ${closedAt}, and neither the archive nor Temporal has it`;
    return [{ kind: 'history_missing', where: id, detail }];
  }
  // What held an open case before may have left Temporal.
  if (isEarlier) return [];
  return [{ kind: 'deposit_unexplained', where: id, detail: 'is open, and Temporal has no such workflow' }];
}

/**
 * Postings of workflows whose history was not compared. `compared`: ids of the deposits and cases that were compared by
 * what Temporal holds; each of the archive is compared, or told to be unreadable. `deposit`: only its own were, and of the
 * others a row has to do.
 */
export async function findPostingsLeft(
  db: pg.ClientBase,
  compared: readonly string[],
  deposit: string | null,
): Promise<Finding[]> {
  const { rows } = await db.query<{ where: string; detail: string }>(
    `select 'posting ' || t.id as where, t.kind || ' of ' || t.amount || ' MTC by ' || t.workflow_id || ', of which there is no history' as detail
       from ledger.transaction t
      where not exists (select from unnest($1::text[]) c(id) where c.id = t.workflow_id)
        and not exists (select from engine.archive a where a.workflow_id = t.workflow_id and a.workflow_id not like '%:again:%')
        and not exists (select from engine.review_case v join engine.archive a on a.workflow_id = v.held_by where v.workflow_id = t.workflow_id)
        and ($2::text is null or t.deposit is not distinct from $2
          or not exists (select from engine.deposit d where 'deposit:' || d.external_order_number = t.workflow_id)
             and not exists (select from engine.review_case v where v.workflow_id = t.workflow_id))`,
    [compared, deposit],
  );
  return rows.map((row) => ({ kind: 'posting_unexplained', ...row }));
}

/** An acknowledged callback of which nothing has come, with the deposit whose workflow would take it. */
export interface PendingCallback {
  readonly id: string;
  readonly deposit: string | null;
  /** Since it came first: a repeat makes it no younger. */
  readonly ageMs: number;
  readonly finding: Finding;
}

export async function callbacksWaiting(
  db: pg.ClientBase,
  among: readonly string[] | null = null,
): Promise<PendingCallback[]> {
  const { rows } = await db.query<{ id: string; deposit: string | null; ageMs: number; detail: string }>(
    `select c.id::text as id, c.deposit, (extract(epoch from clock_timestamp() - c.received_at) * 1000)::float8 as "ageMs",
            'acknowledged ' || c.received_at || ' for ' || c.external_order_number || ', and nothing came of it' as detail
       from engine.callback c where c.acked and c.outcome is null and ($1::bigint[] is null or c.id = any($1))`,
    [among],
  );
  return rows.map(({ id, deposit, ageMs, detail }) => ({
    id,
    deposit,
    ageMs,
    finding: { kind: 'callback_without_outcome', where: `callback ${id}`, detail },
  }));
}
