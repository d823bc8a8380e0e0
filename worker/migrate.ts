import { Client, Connection } from '@temporalio/client';
import { loadArchiveEvery, loadMigrationUrl } from '../config/load.ts';
import { takesNoArguments } from '../config/no-arguments.ts';
import { isTemporalGiven, loadTemporal } from '../config/temporal.ts';
import { parameterLogging } from '../database/log-settings.ts';
import { migrate, MIGRATIONS } from '../database/migrate.ts';
import { createClient } from '../database/pool.ts';
import { ensureArchiveSchedule } from './schedule.ts';
import { registerSearchAttributes } from './search-attributes.ts';
import '../config/closed-output.ts';

/**
 * `npm run migrate`: brings the database named by DATABASE_URL to the newest schema and, where Temporal is named too,
 * registers the search attributes and the archive's schedule. Runs before a new version starts, as the schema's owner.
 */
const flags = takesNoArguments('npm run migrate', 'brings the database and Temporal to what this version needs.', {
  '--contract': 'also takes away what only processes of a version before need: when none works any more',
});

// Before anything is changed: a wrong setting must not leave half of it done.
const archiveEveryMs = loadArchiveEvery();
const [client, watcher] = await Promise.all([connect(), connect()]);
try {
  const applied = await migrate(client, MIGRATIONS, {
    contract: flags.has('--contract') ? 'now' : 'later',
    watcher,
    tell: (line) => console.log(line),
  });
  const logging = await parameterLogging(client);
  if (logging.length > 0)
    console.log(`the server writes what statements are given into its log: ${logging.join(', ')} (docs/deployment.md)`);
  console.log(applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`);
} finally {
  await Promise.all([client.end(), watcher.end()]);
}

async function connect() {
  const opened = createClient({ connectionString: loadMigrationUrl(), application_name: 'deposit-migrate' });
  await opened.connect();
  return opened;
}

if (isTemporalGiven()) {
  const { connectionOptions, namespace } = loadTemporal();
  const connection = await Connection.connect(connectionOptions);
  try {
    await registerSearchAttributes(connection, namespace);
    console.log(`search attributes are registered in namespace ${namespace}`);
    await ensureArchiveSchedule(new Client({ connection, namespace }), archiveEveryMs);
    console.log(`closed deposits are archived every ${archiveEveryMs / 1_000} s`);
  } finally {
    await connection.close();
  }
}
