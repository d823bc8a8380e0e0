import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { until } from '../until.ts';

/** One recorded history per path of a deposit, for each released version: all must replay forever. */
export const HISTORIES = fileURLToPath(new URL('../../histories', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** The version whose paths are recorded now. */
const VERSION = 'v3';

export interface RecordedHistory {
  /** `v2/credited`. */
  readonly name: string;
  readonly workflowId: string;
  readonly history: History;
  /** The arguments of local activities, by the event that holds their result: histories do not keep them. */
  readonly given: Readonly<Record<number, readonly unknown[]>>;
}

/**
 * If recording is on (`npm run histories`), writes the history of a path once nothing is pending in it, and the
 * arguments of its local activities. A recording is never replaced: one of changed code proves nothing about the old.
 */
export async function recordHistory(name: string, handle: WorkflowHandle): Promise<void> {
  const isRecorded = existsSync(join(HISTORIES, VERSION, `${name}.json`));
  if (process.env['RECORD_HISTORIES'] !== '1' || isRecorded) return;
  const history = await until(`${name} to be settled`, async () => {
    const history = await handle.fetchHistory();
    return isSettled(history) && history;
  });
  // Stack traces name the folder of the clone that recorded them.
  await write(`${VERSION}/${name}`, historyToJSON(history).replaceAll(ROOT, ''));
  await recordGiven(`${VERSION}/${name}`);
}

let bundled: Promise<string> | undefined;

/** Replays a recording on the code that made it and writes down the arguments of its local activities. */
async function recordGiven(name: string): Promise<void> {
  // A dynamic import: the gate loads the whole worker.
  const { givenLocally } = await import('../gate/gate.ts');
  const { bundleForGate } = await import('../gate/bundle.ts');
  bundled ??= bundleForGate();
  const given = await givenLocally(await bundled, await read(name));
  await write(givenOf(name), JSON.stringify(given, null, 2));
}

async function write(name: string, json: string): Promise<void> {
  await mkdir(join(HISTORIES, dirname(name)), { recursive: true });
  await writeFile(join(HISTORIES, `${name}.json`), `${json}\n`);
}

const givenOf = (name: string): string => join(dirname(name), 'given', basename(name));

const OPEN = ['workflowTaskScheduledEventAttributes', 'activityTaskScheduledEventAttributes'] as const;
const ANSWERED = [
  'workflowTaskCompletedEventAttributes',
  'workflowTaskFailedEventAttributes',
  'workflowTaskTimedOutEventAttributes',
  'activityTaskCompletedEventAttributes',
] as const;

/** Every requested task and activity has a result: no decision is missing at the end. */
export function isSettled({ events }: History): boolean {
  const count = (attributes: readonly (keyof NonNullable<History['events']>[number])[]) =>
    (events ?? []).filter((event) => attributes.some((name) => event[name])).length;
  return count(OPEN) === count(ANSWERED);
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
  return { name, workflowId: started?.workflowId ?? 'unknown', history, given: await readGiven(name) };
}

/** Empty for a recording without a file of its local activities' arguments; a test fails for it. */
async function readGiven(name: string): Promise<RecordedHistory['given']> {
  const file = join(HISTORIES, `${givenOf(name)}.json`);
  return existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as RecordedHistory['given']) : {};
}
