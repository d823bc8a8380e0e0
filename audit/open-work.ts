import type { Client } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type HistoryFacts, openHistory, readHistory } from '../archive/history.ts';
import { isGone } from '../archive/source.ts';
import { auditFacts, auditReplay, type WorkDependencies } from './archived-work.ts';
import { CHECK_OF } from './kinds.ts';
import { unarchivedRows, withoutHistory } from './population.ts';

/** Deposits and cases that are not in the archive: by their histories as Temporal holds them now. Returns how many. */
export async function auditOpen(deps: WorkDependencies, client: Client, deposit: string | null): Promise<number> {
  let count = 0;
  for await (const batch of unarchivedRows(deps.db, deposit)) {
    const histories = await Promise.all(batch.map(({ id }) => fetchOpen(client, id)));
    const found = batch.flatMap((row, i) => {
      const history = histories[i];
      if (history !== null && history !== undefined) return [{ id: row.id, history }];
      // A workflow is started a moment after its row; the relay starts what was forgotten within half a minute.
      for (const finding of withoutHistory(row, new Date())) deps.builder.find(CHECK_OF[finding.kind], finding);
      return [];
    });
    await auditBatch(deps, found);
    count += batch.length;
  }
  return count;
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
