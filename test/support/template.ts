import pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { migrate } from '../../database/schema/migrate.ts';
import { issueOperators } from './operators.ts';

/** The migrated database that every test database is a clone of. */
export const TEMPLATE = 'engine_template';

/** The tests let every login in by the superuser's password. */
export async function setPasswords(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    'select rolname as role from pg_roles where rolcanlogin and not rolsuper',
  );
  for (const { role } of rows) await client.query(`alter role ${role} password '${client.password}'`);
}

/** `migrateTo`: brings a database to the schema; by default to the newest one. */
export async function migrateTemplate(url: string, migrateTo?: (url: string) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`create database ${TEMPLATE}`);
  await admin.end();
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  if (migrateTo !== undefined) await migrateTo(template.href);
  await withClient({ connectionString: template.href }, async (client) => {
    if (migrateTo === undefined) {
      await migrate(client);
      await issueOperators(client);
    }
    await setPasswords(client);
  });
}
