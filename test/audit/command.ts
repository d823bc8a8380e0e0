import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SEAL_ENV } from '../support/seals.ts';
import type { AuditReport } from '../../audit/report/report.ts';
import { startOf } from '../support/programs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ran {
  /** Null: it was killed. */
  readonly code: number | null;
  /** Its lines of progress. */
  readonly told: readonly string[];
  /** The paths of the report: JSON and HTML. */
  readonly paths: readonly string[];
  readonly seconds: number;
}

export interface Servers {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** Default: `default`. */
  readonly temporalNamespace?: string;
}

/**
 * Runs the command as an auditor does. `replayed` receives each progress, in histories; `of`: the folder of another
 * version.
 */
export async function runAudit(
  { databaseUrl, temporalAddress, temporalNamespace = 'default' }: Servers,
  out: string,
  replayed: (histories: number, child: ChildProcess) => void = () => {},
  of: string = root,
): Promise<Ran> {
  const started = performance.now();
  const own = {
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporalAddress,
    TEMPORAL_NAMESPACE: temporalNamespace,
    TEMPORAL_CONFIG_FILE: '/dev/null',
    ...SEAL_ENV,
  };
  const child = spawn(
    process.execPath,
    [...(of === root ? startOf('local/audit.ts') : ['--import', 'tsx', 'local/audit.ts']), '--out', out],
    {
      cwd: of,
      env: { ...process.env, ...own },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const told: string[] = [];
  const paths: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => paths.push(line));
  createInterface({ input: child.stderr }).on('line', (line) => {
    told.push(line);
    const done = Number(/^replayed (\d+) of/.exec(line)?.[1] ?? 0);
    if (done > 0) replayed(done, child);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, told, paths, seconds: Math.round((performance.now() - started) / 100) / 10 };
}

/** A report without the times of its audit, the names made from them, and its signature. */
export async function contentOf(path: string): Promise<string> {
  const report = JSON.parse(await readFile(path, 'utf8')) as AuditReport;
  const own = new Set(['signature', 'html', 'startedAt', 'finishedAt', 'file', 'chosenBy']);
  return JSON.stringify(report, (name, value: unknown) => (own.has(name) ? undefined : value));
}
