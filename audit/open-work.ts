import type { Client } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import type pg from 'pg';
import { type HistoryFacts, openHistory, readHistory } from '../archive/history.ts';
import { isGone } from '../archive/source.ts';
import { auditFacts, auditReplay, type WorkDependencies } from './archived-work.ts';
import { CHECK_OF } from './kinds.ts';

const BATCH = 25;

/** Deposits and cases that are not closed: by their histories as Temporal holds them now. Answers how many. */
export async function auditOpen(deps: WorkDependencies, client: Client, deposit: string | null): Promise<number> {
  let count = 0;
  for (let after = ''; ; ) {
    const ids = await openIds(deps.db, after, deposit);
    const histories = await Promise.all(ids.map(({ id }) => fetchOpen(client, id)));
    const found = ids.flatMap(({ id, ageMs }, i) => {
      const history = histories[i];
      if (history !== null && history !== undefined) return [{ id, history }];
      // A workflow is started a moment after its row; the relay starts what was forgotten within half a minute.
      if (ageMs > 120_000) {
        deps.builder.find(CHECK_OF.deposit_unexplained, {
          kind: 'deposit_unexplained',
          where: id,
          detail: 'is open, and Temporal has no such workflow',
        });
      }
      return [];
    });
    await auditBatch(deps, found);
    count += ids.length;
    if (ids.length < BATCH) return count;
    after = ids.at(-1)!.id;
  }
}

async function openIds(db: pg.ClientBase, after: string, deposit: string | null) {
  const { rows } = await db.query<{ id: string; ageMs: number }>(
    `select id, (extract(epoch from clock_timestamp() - since) * 1000)::float8 as "ageMs" from (
       select 'deposit:' || external_order_number as id, created_at as since, external_order_number as n from engine.deposit where closed_at is null
       union all
       select coalesce(v.held_by, v.workflow_id), v.opened_at, c.external_order_number from engine.review_case v join engine.callback c on c.id = v.callback
        where v.closed_at is null and v.workflow_id not like 'deposit:%') w
      where id > $1 and ($3::text is null or n = $3) order by id limit $2`,
    [after, BATCH, deposit],
  );
  return rows;
}

/** Null: Temporal has no such workflow. */
export async function fetchOpen(client: Client, workflowId: string): Promise<History | null> {
  try {
    return await client.workflow.getHandle(workflowId).fetchHistory();
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

async function auditBatch(
  deps: WorkDependencies,
  batch: readonly { readonly id: string; readonly history: History }[],
) {
  const { replayer } = await deps.replayerFor(null);
  const codecs = deps.dataConverter.payloadCodecs ?? [];
  const facts: HistoryFacts[] = [];
  for (const { id, history } of batch) {
    let read: HistoryFacts;
    try {
      read = readHistory(await openHistory(history, codecs));
    } catch (error) {
      // Encrypted with a key that is not here, or no history of ours.
      const { message: detail } = error as Error;
      deps.builder.find(CHECK_OF.not_readable, { kind: 'not_readable', where: id, detail });
      continue;
    }
    await auditReplay(deps, replayer, read, history);
    facts.push(read);
  }
  await auditFacts(deps, facts);
}
