import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../local/servers/postgres.ts';
import { migrateTemplate } from '../support/template.ts';

/** A PostgreSQL with the migrated template, outside of the tests. */
export async function prepareDatabase(): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-model-'));
  const postgres = await startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true });
  await migrateTemplate(postgres.url);
  return {
    url: postgres.url,
    async stop() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
