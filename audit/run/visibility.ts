import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { unopened } from '../../config/temporal.ts';
import { describeWorkflow } from './second-look.ts';
import type { Finding } from '../report/report.ts';
import { plainName } from '../../domain/ids.ts';

/**
 * Compares Temporal's list of workflows with the rows. A missing entry proves nothing, because the list lags; an entry
 * without a row is a finding.
 */

const AT_ONCE = 500;

interface Listed {
  readonly workflowId: string;
  readonly runId: string;
  readonly runs: boolean;
}

/** Every run that Temporal lists, also ended ones within the retention. */
async function* listed(client: Client): AsyncGenerator<readonly Listed[]> {
  let runs: Listed[] = [];
  const query = `WorkflowType = 'deposit' or WorkflowType = 'review'`;
  for await (const { workflowId, runId, status } of unopened(client).list({ query, pageSize: 1_000 })) {
    runs.push({ workflowId, runId, runs: status.name === 'RUNNING' });
    if (runs.length < AT_ONCE) continue;
    yield runs;
    runs = [];
  }
  if (runs.length > 0) yield runs;
}

const BESIDE = `
  select w.id, w.run, w.runs, b.n, d.n is not null or v.n is not null as known, a.n is not null as archived
    from unnest($1::text[], $2::text[], $3::boolean[]) w(id, run, runs)
    left join engine.archive b on b.run_id = w.run and b.workflow_id = w.id
    left join lateral (select 1 as n from engine.archive h where h.workflow_id = w.id limit 1) a on true
    left join lateral (select 1 as n from engine.deposit d where 'deposit:' || d.external_order_number = w.id) d on true
    left join lateral (select 1 as n from engine.review_case v where v.workflow_id not like 'deposit:%'
                          and v.workflow_id = regexp_replace(w.id, ':again:[0-9]+$', '')) v on true`;

interface Beside {
  readonly id: string;
  readonly run: string;
  readonly runs: boolean;
  /** The number of the archive's row of this run; null: none. */
  readonly n: string | null;
  readonly known: boolean;
  /** The archive has a run of the workflow, and then all of its runs. */
  readonly archived: boolean;
}

/** PostgreSQL's texts hold no NUL, so a workflow with one in its name has no row. */
const NOWHERE = { n: null, known: false, archived: false };

/**
 * `fresh`: a new session, because a row is written before its workflow is started. `archived`: numbers of the archive's
 * rows whose runs are listed.
 */
export async function findWithoutRow(
  client: Client,
  fresh: pg.ClientBase,
): Promise<{ readonly findings: readonly Finding[]; readonly archived: readonly number[] }> {
  const findings: Finding[] = [];
  const archived = new Set<number>();
  // Each batch is listed before its rows are read, so workflows that started meanwhile have their rows.
  await fresh.query('commit; begin isolation level read committed read only');
  for await (const runs of listed(client)) {
    const named = runs.filter(({ workflowId }) => !workflowId.includes('\0'));
    const { rows } = await fresh.query<Beside>(BESIDE, [
      named.map(({ workflowId }) => workflowId),
      named.map(({ runId }) => runId),
      named.map((run) => run.runs),
    ]);
    const unnamed = runs.filter((run) => !named.includes(run));
    const nowhere = unnamed.map(({ workflowId: id, runId: run, runs: is }) => ({ ...NOWHERE, id, run, runs: is }));
    for (const row of [...rows, ...nowhere]) {
      if (row.n !== null) archived.add(Number(row.n));
      const finding = isFine(row) ? null : await findingOf(client, row);
      if (finding !== null) findings.push(finding);
    }
  }
  return { findings, archived: [...archived] };
}

/** Ended and archived; or not archived, and so compared elsewhere. */
const isFine = ({ known, archived, runs, n }: Beside): boolean => known && (!archived || (n !== null && !runs));

async function findingOf(client: Client, { id, run, known, n }: Beside): Promise<Finding | null> {
  const doing = await describeWorkflow(client, id, run);
  // The list may still have deleted runs.
  if (doing === null) return null;
  if (!known)
    return { kind: 'history_unexplained', where: plainName(id), detail: 'Temporal has it, and there is no row for it' };
  if (doing.runs)
    return { kind: 'history_unexplained', where: id, detail: 'runs, and the archive says that it has ended' };
  if (n !== null) return null;
  return { kind: 'history_missing', where: id, detail: `Temporal has run ${run} of it, and the archive does not` };
}
