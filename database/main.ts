import pg from 'pg';
import { loadMigrationUrl } from '../config/load.ts';
import { migrate } from './migrate.ts';

/** `npm run migrate`: brings the database named by DATABASE_URL to the newest schema. */
const client = new pg.Client({ connectionString: loadMigrationUrl(), application_name: 'deposit-migrate' });
await client.connect();
try {
  const applied = await migrate(client);
  console.log(applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`);
} finally {
  await client.end();
}
