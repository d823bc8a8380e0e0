import { readFile } from 'node:fs/promises';
import type { DatabaseConfig } from '../../config/settings/read-environment.ts';
import { archiveObjects } from '../../archive/objects.ts';
import { loadDataConverter } from '../../config/temporal.ts';
import type { BuilderState } from '../report/builder.ts';
import { createPartAuditor, createReplayers, type PartAuditor } from './part-auditor.ts';
import { quietRuntime } from '../histories/runtime-log.ts';
import type { AuditPart } from '../audit-arguments.ts';
import { openSession } from '../tables/session.ts';

/** One process of an audit. It receives parts of the archive, one after the other, and returns the findings of each. */
export interface ChildTask {
  readonly database: DatabaseConfig;
  readonly snapshot: string;
  readonly archiveDirectory: string | undefined;
  /** A file with the workflow code of today. */
  readonly codePath: string;
  /** Hashes of bundles whose histories replay on the bundle itself. */
  readonly exceptions: readonly string[];
}
export type ToChild = { readonly task: ChildTask } | { readonly part: AuditPart };
export type FromChild = { readonly ready: true } | { readonly state: BuilderState } | { readonly failed: string };

quietRuntime();

async function prepare(task: ChildTask) {
  const db = await openSession(task.database, task.snapshot);
  const code = await readFile(task.codePath, 'utf8');
  const objects = archiveObjects(db, task.archiveDirectory);
  const deps = { ...task, db, code, dataConverter: loadDataConverter() };
  return createPartAuditor(deps, objects, createReplayers(deps, objects));
}

const say = (message: FromChild) => process.send?.(message);
let work: Promise<PartAuditor> | null = null;

async function hear(message: ToChild): Promise<void> {
  if ('task' in message) {
    work = prepare(message.task);
    await work;
    say({ ready: true });
    return;
  }
  const { part } = message;
  say({ state: await (await work!).audit(part) });
}

process.on('message', (message: ToChild) => {
  hear(message).catch((error: Error) => say({ failed: error.stack ?? error.message }));
});
// Its database session and Temporal's runtime would keep it alive.
process.once('disconnect', () => process.exit(0));
