import type pg from 'pg';
import type { Finding } from '../report/report.ts';

/** A deposit or a case without a history in the archive, in whatever state its row is. */
export interface OpenWorkflow {
  /** The workflow's id. */
  readonly id: string;
  /** The deposit's order number. */
  readonly n: string;
  /** When the row was written, by the database's clock; no process of the engine can choose it. */
  readonly since: Date;
  readonly ageMs: number;
  /** The row's claim, which proves nothing. */
  readonly closedAt: string | null;
  /** The workflow held a case that another workflow holds now. */
  readonly isEarlier: boolean;
}

/**
 * Selects every row that is not in the archive, independent of its state and times, and also archived ones whose row
 * claims to be open. Lost histories are reported elsewhere.
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

/** Reads them in batches, in one pass over the tables. `deposit`: only its rows; null: all. */
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

/** Those of `before` that are not archived now, with their rows of this session. */
export async function unarchivedAmong(db: pg.ClientBase, among: readonly OpenWorkflow[]): Promise<OpenWorkflow[]> {
  const { rows } = await db.query<OpenWorkflow>(`${UNARCHIVED} and w.n = any($1) and w.id = any($2)`, [
    among.map(({ n }) => n),
    among.map(({ id }) => id),
  ]);
  return rows;
}

/** The finding about a row whose history is neither in the archive nor in Temporal. */
export function withoutHistory({ id, closedAt, isEarlier }: OpenWorkflow): Finding[] {
  if (closedAt !== null) {
    const detail = `closed ${closedAt}, and neither the archive nor Temporal has it`;
    return [{ kind: 'history_missing', where: id, detail }];
  }
  // Temporal may have deleted the earlier workflow of an open case.
  if (isEarlier) return [];
  return [{ kind: 'deposit_unexplained', where: id, detail: 'is open, and Temporal has no such workflow' }];
}

/**
 * Postings of workflows whose history was not compared. `compared`: ids of the deposits and cases that were compared by
 * Temporal's histories; every archived one is compared or reported as unreadable. `deposit`: only its workflows were
 * compared; for others a row is enough.
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

/** An acknowledged callback without an outcome, with the deposit whose workflow would take it. */
export interface PendingCallback {
  readonly id: string;
  readonly deposit: string | null;
  /** Age of its first delivery; repeats do not change it. */
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
