import { Connection } from '@temporalio/client';
import pg from 'pg';
import { loadMigrationUrl } from '../config/load.ts';
import { isTemporalGiven, loadTemporal } from '../config/temporal.ts';
import { migrate } from '../database/migrate.ts';
import { registerSearchAttributes } from './search-attributes.ts';

/**
 * `npm run migrate`: brings the database named by DATABASE_URL to the newest schema and, where Temporal is named too,
 * registers the search attributes. Runs before a new version starts, as the schema's owner.
 */
const client = new pg.Client({ connectionString: loadMigrationUrl(), application_name: 'deposit-migrate' });
await client.connect();
try {
  const applied = await migrate(client);
  console.log(applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`);
} finally {
  await client.end();
}

if (isTemporalGiven()) {
  const { connectionOptions, namespace } = loadTemporal();
  const connection = await Connection.connect(connectionOptions);
  try {
    await registerSearchAttributes(connection, namespace);
    console.log(`search attributes are registered in namespace ${namespace}`);
  } finally {
    await connection.close();
  }
}
