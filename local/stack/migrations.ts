/** Brings the engine's schema up to date before anything uses it. */

import { Client, Connection } from '@temporalio/client';
import type pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { publicSealKey, sealKey } from '../../config/keys/inbox-seal.ts';
import { loadArchiveEvery } from '../../config/settings/migration.ts';
import { loadSealKey, loadSealTrust } from '../../config/settings/seals.ts';
import { withoutProxy } from '../../config/loopback.ts';
import { migrate } from '../../database/schema/migrate.ts';
import { registerAndVouch } from '../../providers/sealed-rows.ts';
import { ensureArchiveSchedule } from '../../worker/schedule.ts';
import { migrationEnvironment, ownerUrl, sealEnvironment, type Sources } from './environment.ts';
import { runTask } from './node-part.ts';
import { setRolePassword } from './servers.ts';

/**
 * Migrates the database and registers the key of the seals, before an API writes anything.
 * - External Temporal: runs `npm run migrate`, which also registers the search attributes and the archive's schedule.
 * - Embedded Temporal: registers the attributes at its start, so no process is needed; that saves about a second.
 */
export async function migrateEngine(
  sources: Sources,
  postgresUrl: string | null,
  dataDirectory: string,
): Promise<void> {
  if (!sources.embedded.temporal) {
    await runTask('migrations', ['worker/migrate.ts'], migrationEnvironment(sources, postgresUrl), dataDirectory);
  }
  await withClient({ connectionString: ownerUrl(sources.env, postgresUrl) }, async (client) => {
    if (sources.embedded.temporal) await migrate(client);
    const seed = loadSealKey(sealEnvironment(sources));
    await registerAndVouch(client, sealKey(seed), loadSealTrust(publicSealKey(seed), sources.env));
    if (postgresUrl !== null) await setPasswords(client, postgresUrl);
  });
}

/** Sets the passwords of the logins of the engine's processes; the migrations create them without. */
async function setPasswords(client: pg.Client, postgresUrl: string): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    'select rolname as role from pg_roles where rolcanlogin and not rolsuper',
  );
  for (const { role } of rows) await setRolePassword(client, postgresUrl, role);
}

/** Registers the archive's schedule on the embedded Temporal, as `npm run migrate` does on an external one. */
export async function scheduleArchive(sources: Sources, address: string): Promise<void> {
  const everyMs = loadArchiveEvery(sources.env);
  const connection = await Connection.connect({ address, channelArgs: withoutProxy });
  try {
    await ensureArchiveSchedule(new Client({ connection }), everyMs);
  } finally {
    await connection.close();
  }
}
