import type pg from 'pg';

/** The migrations make logins without passwords: each gets the superuser's, which nobody but this run knows. */
export async function setLoginPasswords(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    'select rolname as role from pg_roles where rolcanlogin and not rolsuper',
  );
  for (const { role } of rows) await client.query(`alter role ${role} password '${client.password}'`);
}
