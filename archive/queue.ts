import type { Db } from '../database/pool.ts';
import { execute, statement } from '../database/statements.ts';

/** A workflow that our own tables show as closed and whose history is not archived yet. */
export interface ClosedWork {
  readonly workflowId: string;
  /** The database's text: a Date would lose the microseconds. */
  readonly closedAt: string;
  /** The same in microseconds since 1970. */
  readonly closedAtUs: string;
}

/**
 * Takes due workflows, longest waiting first; it keeps no lock. An unfinished one is due again after ten seconds, then
 * with exponential back-off up to an hour. It stays unfinished while its workflow runs, until its runs are confirmed, or
 * if this process dies.
 */
export async function claimClosed(db: Db, limit: number): Promise<ClosedWork[]> {
  const { rows } = await db.query<ClosedWork>(
    `select workflow_id as "workflowId", closed_at::text as "closedAt",
            (extract(epoch from closed_at) * 1000000)::bigint as "closedAtUs" from engine.archive_look($1)`,
    [limit],
  );
  return rows;
}

const DONE = statement(
  'select engine.archive_done(w.id, w.closed_at) from unnest($1::text[], $2::timestamptz[]) w(id, closed_at)',
);

/** Removes these from the queue; call it when all their runs are in the chain, or were recorded as lost. */
export async function finishClosed(db: Db, work: readonly ClosedWork[]): Promise<void> {
  if (work.length === 0) return;
  await execute(db, DONE, [work.map(({ workflowId }) => workflowId), work.map(({ closedAt }) => closedAt)]);
}

/**
 * Records a lost history: the first of a workflow, null where no run is known. Returns true if this one is neither the
 * recorded one nor archived meanwhile.
 */
export async function noteLost(db: Db, work: ClosedWork, runId: string | null): Promise<boolean> {
  const { rows } = await db.query<{ isNews: boolean }>(
    `select case when exists (select from engine.archive a where a.workflow_id = $1 and a.run_id = coalesce($2, a.run_id)) then false
                 else engine.archive_lose($1, $2) or not exists (
                   select from engine.archive_lost l where l.workflow_id = $1 and l.run_id is not distinct from $2) end as "isNews"`,
    [work.workflowId, runId],
  );
  return rows[0]!.isNews;
}

export interface Backlog {
  /** The number of workflows that could be taken now, at most 1,000. */
  readonly due: number;
  /** The workflow that was closed first and is not archived, due or not. */
  readonly oldest: { readonly workflowId: string; readonly ageMs: number } | null;
}

export async function archiveBacklog(db: Db): Promise<Backlog> {
  const { rows } = await db.query<{ due: number; workflow_id: string | null; age_ms: string | null }>(
    `select (select count(*)::int from (select from engine.archive_due where look_at <= (select clock_timestamp())
                                         order by look_at limit 1000) d) as due, o.workflow_id,
            (extract(epoch from clock_timestamp() - o.closed_at) * 1000)::bigint as age_ms
       from (values (1)) one
       left join lateral (select workflow_id, closed_at from engine.archive_due order by closed_at limit 1) o on true`,
  );
  const { due, workflow_id: workflowId, age_ms: ageMs } = rows[0]!;
  return { due, oldest: workflowId === null ? null : { workflowId, ageMs: Number(ageMs) } };
}
