import type pg from 'pg';

/** A skew beyond this is not learned: a provider that far off is broken, and believing it would open the time checks. */
export const MAX_SKEW_MS = 10 * 60_000;

/** Provider's clock minus ours, in milliseconds; 0 until something was learned. */
export async function readSkew(db: pg.Pool | pg.ClientBase): Promise<number> {
  const { rows } = await db.query<{ skew_ms: string }>('select skew_ms from engine.provider_clock');
  return Number(rows[0]?.skew_ms ?? 0);
}

export async function writeSkew(db: pg.Pool, skewMs: number): Promise<void> {
  await db.query(
    `insert into engine.provider_clock (skew_ms) values ($1)
     on conflict (id) do update set skew_ms = excluded.skew_ms, at = clock_timestamp()`,
    [Math.round(skewMs)],
  );
}
