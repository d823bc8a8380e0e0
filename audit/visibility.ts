import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { describe } from './patience.ts';
import type { Finding } from './report.ts';

/**
 * Workflows that Temporal lists, beside the rows. What the list lacks proves nothing, because it lags behind; what it shows
 * and no row has is a finding.
 */

const AT_ONCE = 500;
/** A workflow may close a while before the last one that is archived, and be archived after it. */
const OVERLAP_MS = 3_600_000;

/** Those that run, and those that closed since about the archive's last row; what closed before has its row there. */
async function* listed(client: Client, since: Date | null): AsyncGenerator<string[]> {
  const ours = `(WorkflowType = 'deposit' or WorkflowType = 'review')`;
  const closed = since === null ? `ExecutionStatus != 'Running'` : `CloseTime > '${since.toISOString()}'`;
  let ids: string[] = [];
  for (const query of [`${ours} and ExecutionStatus = 'Running'`, `${ours} and ${closed}`]) {
    for await (const { workflowId } of client.workflow.list({ query, pageSize: 1_000 })) {
      ids.push(workflowId);
      if (ids.length < AT_ONCE) continue;
      yield ids;
      ids = [];
    }
  }
  if (ids.length > 0) yield ids;
}

const STRANGE = `
  select w.id, d.n is not null or v.n is not null as known from unnest($1::text[]) w(id)
    left join lateral (select 1 as n from engine.deposit d where 'deposit:' || d.external_order_number = w.id) d on true
    left join lateral (select 1 as n from engine.review_case v where v.workflow_id not like 'deposit:%'
                          and v.workflow_id = regexp_replace(w.id, ':again:[0-9]+$', '')) v on true
   where d.n is null and v.n is null
      or exists (select from engine.archive a where a.workflow_id = w.id)`;

/** `fresh`: a session of now; a row is written before its workflow is started. */
export async function findWithoutRow(client: Client, fresh: pg.ClientBase): Promise<Finding[]> {
  const { rows } = await fresh.query<{ closed: Date | null }>('select max(closed_at) as closed from engine.archive');
  const last = rows[0]?.closed ?? null;
  const findings: Finding[] = [];
  for await (const ids of listed(client, last === null ? null : new Date(last.getTime() - OVERLAP_MS))) {
    const strange = await fresh.query<{ id: string; known: boolean }>(STRANGE, [[...new Set(ids)]]);
    for (const { id, known } of strange.rows) {
      const doing = await describe(client, id);
      // The list shows what is not there any more as well.
      if (doing === null || (known && !doing.runs)) continue;
      const detail = known
        ? 'runs, and the archive says that it has ended'
        : 'Temporal has it, and there is no row for it';
      findings.push({ kind: 'history_unexplained', where: id, detail });
    }
  }
  return findings;
}
