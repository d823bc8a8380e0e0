import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { History } from '@temporalio/common/lib/proto-utils.js';

/** One recorded history per path of a deposit, for each released version: what must replay for ever. */
export const HISTORIES = fileURLToPath(new URL('../histories', import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The version whose paths are recorded now. */
const VERSION = 'v2';

export interface RecordedHistory {
  readonly name: string;
  readonly workflowId: string;
  readonly history: History;
}

/** Writes the history of a finished path when recording was asked for (`npm run histories`). */
export async function recordHistory(name: string, handle: WorkflowHandle): Promise<void> {
  if (process.env['RECORD_HISTORIES'] !== '1') return;
  // Stack traces name the folder of the clone that recorded them.
  const json = historyToJSON(await handle.fetchHistory()).replaceAll(ROOT, '');
  await mkdir(join(HISTORIES, VERSION), { recursive: true });
  await writeFile(join(HISTORIES, VERSION, `${name}.json`), `${json}\n`);
}

export async function recordedHistories(): Promise<RecordedHistory[]> {
  const versions = (await readdir(HISTORIES, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const all = await Promise.all(
    versions.map(async ({ name: version }) => {
      const files = (await readdir(join(HISTORIES, version))).filter((file) => file.endsWith('.json')).toSorted();
      return Promise.all(files.map((file) => read(`${version}/${file.replace(/\.json$/, '')}`)));
    }),
  );
  return all.flat();
}

async function read(name: string): Promise<RecordedHistory> {
  const history = historyFromJSON(JSON.parse(await readFile(join(HISTORIES, `${name}.json`), 'utf8')));
  const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
  return { name, workflowId: started?.workflowId ?? 'unknown', history };
}
