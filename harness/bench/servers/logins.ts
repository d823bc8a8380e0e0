import type pg from 'pg';

/** Gives each login the superuser's password, known only to this run: the migrations create logins without one. */
export async function setLoginPasswords(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    'select rolname as role from pg_roles where rolcanlogin and not rolsuper',
  );
  for (const { role } of rows) await client.query(`alter role ${role} password '${client.password}'`);
}
