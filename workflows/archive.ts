import { ARCHIVE, durable } from './activity-options.ts';

/** Enough for the workflows that close in a minute; the rest waits for the next run. */
const BATCHES = 100;
const BATCH = 100;

/**
 * Archives the histories of closed deposits and cases until none is left. A schedule starts it, never twice at once.
 * Its own histories are not archived, because they prove nothing.
 */
export async function archive(): Promise<{ readonly archived: number }> {
  const { archiveClosed } = durable(ARCHIVE, 'archive closed histories');
  let archived = 0;
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const done = await archiveClosed(BATCH);
    archived += done.archived;
    if (done.left === 0) break;
  }
  return { archived };
}
