import type pg from 'pg';
import type { Finding } from './report.ts';

/** A deposit or a case of which the archive has no history: open, closing, or said to be either. */
export interface Unarchived {
  /** The workflow's. */
  readonly id: string;
  /** Since when there is a row, by the database's clock: nobody who works for the engine can say it. */
  readonly since: Date;
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
  select w.id, w.since, w.closed_at::text as "closedAt", w.is_earlier as "isEarlier" from (
    select 'deposit:' || d.external_order_number as id, d.external_order_number as n, d.created_at as since, d.closed_at, false as is_earlier
      from engine.deposit d
    union all
    select h.id, c.external_order_number, c.received_at, v.closed_at, h.is_earlier
      from engine.review_case v join engine.callback c on c.id = v.callback
     cross join lateral (select coalesce(v.held_by, v.workflow_id) as id, false as is_earlier
                         union all select v.workflow_id, true where v.held_by <> v.workflow_id) h
     where v.workflow_id not like 'deposit:%') w
   where (w.closed_at is null and not w.is_earlier or not exists (select from engine.archive a where a.workflow_id = w.id))
     and not exists (select from engine.archive_lost l where l.workflow_id = w.id)`;

const BATCH = 25;

/** In batches, in one pass over the tables. `deposit`: its own alone; null: all. */
export async function* unarchivedRows(db: pg.ClientBase, deposit: string | null): AsyncGenerator<Unarchived[]> {
  const scope = deposit === null ? '' : ` and w.n = ${quoted(deposit)}`;
  await db.query(`declare unarchived no scroll cursor for ${UNARCHIVED}${scope}`);
  try {
    for (;;) {
      const { rows } = await db.query<Unarchived>(`fetch ${BATCH} from unarchived`);
      if (rows.length > 0) yield rows;
      if (rows.length < BATCH) return;
    }
  } finally {
    await db.query('close unarchived');
  }
}

/** A cursor's statement takes no parameters. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Of a row whose history nobody has. A workflow is started a moment after its row. */
export function withoutHistory({ id, since, closedAt, isEarlier }: Unarchived, now?: Date): Finding[] {
  if (now !== undefined && now.getTime() - since.getTime() < YOUNG_MS) return [];
  if (closedAt !== null) {
    const detail = `closed ${closedAt}, and neither the archive nor Temporal has it`;
    return [{ kind: 'history_missing', where: id, detail }];
  }
  // What held an open case before may have left Temporal.
  if (isEarlier) return [];
  return [{ kind: 'deposit_unexplained', where: id, detail: 'is open, and Temporal has no such workflow' }];
}

/** For so long the engine may be about to begin or to write what belongs to a row, and the clock is the database's. */
export const YOUNG_MS = 120_000;
