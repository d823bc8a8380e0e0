import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory } from '../../local/servers/paths.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { buildPrograms } from './programs.ts';
import { migrateTemplate } from './template.ts';
import { shareTemporal, startOwnTemporal } from './temporal.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';

/**
 * Four files run at a time. An engine may open 60 connections, a second API of its file 25, and the file's own pools 60:
 * where the server has no more, an API answers 503 at once.
 */
const MOST_CONNECTIONS = String(4 * 150);

/**
 * One real Postgres with a migrated template database, one Temporal server, one workflow bundle and the programs for the whole run; test
 * files find them through the environment, and have a database (database.ts) and a namespace (temporal.ts) of their own.
 * Temporary folders of tests, and of the programs they start, are in one of the run's own, which goes with it.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-test-'));
  await mkdir(cacheDirectory, { recursive: true });
  const programs = await mkdtemp(join(cacheDirectory, 'test-programs-'));
  // PostgreSQL's own user passes through it.
  await chmod(folder, 0o711);
  process.env['TMPDIR'] = folder;
  const [postgres, temporal, bundle] = await Promise.all([
    startPostgres({
      directory: join(folder, 'postgres'),
      fsync: false,
      removeOnStop: true,
      settings: { max_connections: MOST_CONNECTIONS },
    }),
    startOwnTemporal(),
    bundleWorkflows(),
    buildPrograms(programs),
  ]);
  const bundleFile = join(folder, 'workflow-bundle.js');
  await writeFile(bundleFile, withoutSources(bundle));
  await migrateTemplate(postgres.url);
  process.env['TEST_POSTGRES_URL'] = postgres.url;
  process.env['TEST_WORKFLOW_BUNDLE'] = bundleFile;
  shareTemporal(temporal.temporal.port);
  return async () => {
    await Promise.all([postgres.stop(), temporal.remove()]);
    for (const each of [folder, programs]) await rm(each, { recursive: true, force: true });
  };
}

/**
 * The bundle with a source map that names its sources and does not hold them, half as long: every worker that starts and
 * every audit unpacks, hashes and parses it.
 */
function withoutSources(bundle: string): string {
  const start = bundle.lastIndexOf('base64,') + 'base64,'.length;
  const { sourcesContent: _, ...map } = JSON.parse(Buffer.from(bundle.slice(start), 'base64').toString()) as {
    sourcesContent: unknown;
  };
  return bundle.slice(0, start) + Buffer.from(JSON.stringify(map)).toString('base64');
}
