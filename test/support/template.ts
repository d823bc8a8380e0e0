import pg from 'pg';
import { migrate } from '../../database/migrate.ts';

/** The migrated database that every test database is a clone of. */
export const TEMPLATE = 'engine_template';

export async function migrateTemplate(url: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`create database ${TEMPLATE}`);
  await admin.end();
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  const client = new pg.Client({ connectionString: template.href });
  await client.connect();
  await migrate(client);
  await client.end();
}
