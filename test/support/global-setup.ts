import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../local/servers/postgres.ts';
import { migrateTemplate } from './template.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';

/**
 * One real Postgres with a migrated template database and one workflow bundle for the whole run; test files find them
 * through the environment. Each test of the whole engine starts a Temporal server of its own (engine.ts).
 */
export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  // Once, though Vitest asks for every project (vitest.config.ts).
  if (process.env['TEST_POSTGRES_URL'] !== undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-test-'));
  const [postgres, bundle] = await Promise.all([
    startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true }),
    bundleWorkflows(),
  ]);
  const bundleFile = join(folder, 'workflow-bundle.js');
  await writeFile(bundleFile, bundle);
  await migrateTemplate(postgres.url);
  process.env['TEST_POSTGRES_URL'] = postgres.url;
  process.env['TEST_WORKFLOW_BUNDLE'] = bundleFile;
  return async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
