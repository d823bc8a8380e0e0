import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../local/postgres.ts';
import { migrateTemplate, TEMPLATE } from './template.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';
import { partialIndexes, type SeenPlan, SMALL_TABLES, TELLING, wholeReads } from '../growth/watch-plans.ts';

/**
 * One real Postgres with a migrated template database and one workflow bundle for the whole run; test files find them
 * through the environment. Each test of the whole engine starts a Temporal server of its own (engine.ts).
 */
export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  // Once, though Vitest asks for every project (vitest.config.ts).
  if (process.env['TEST_POSTGRES_URL'] !== undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-test-'));
  const plans = process.env['PLANS'] === undefined ? null : join(folder, 'plans');
  const settings = plans === null ? {} : { ...TELLING, ...SMALL_TABLES };
  const [postgres, bundle] = await Promise.all([
    startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true, settings }),
    bundleWorkflows(),
  ]);
  const bundleFile = join(folder, 'workflow-bundle.js');
  await writeFile(bundleFile, bundle);
  await migrateTemplate(postgres.url);
  process.env['TEST_POSTGRES_URL'] = postgres.url;
  process.env['TEST_WORKFLOW_BUNDLE'] = bundleFile;
  if (plans !== null) {
    await writeFile(plans, '');
    process.env['PLANS'] = plans;
  }
  return async () => {
    if (plans !== null) await judgePlans(plans, postgres.url);
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

/** At the end of a run with PLANS: what read a growing table as a whole, in whatever test. */
async function judgePlans(file: string, url: string): Promise<void> {
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  const db = new pg.Pool({ connectionString: template.href, max: 1 });
  const seen = (await readFile(file, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as SeenPlan);
  const faults = wholeReads(seen, await partialIndexes(db));
  await db.end();
  console.log(faults.length === 0 ? 'no growing table was read as a whole' : faults.join('\n'));
  if (faults.length > 0) process.exitCode = 1;
}
