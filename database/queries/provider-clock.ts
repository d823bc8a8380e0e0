import type pg from 'pg';
import type { Db } from '../pool.ts';
import { execute, statement } from '../statements.ts';

export interface Clocks {
  /** The database's own clock, UTC milliseconds with fractions. */
  readonly databaseMs: number;
  /** Provider's clock minus the database's, in milliseconds; 0 until something was learned. */
  readonly skewMs: number;
}

const CLOCKS = statement(
  `select extract(epoch from clock_timestamp()) * 1000 as database_ms,
          (select skew_ms from engine.provider_clock) as skew_ms`,
);

export async function readClocks(db: Db): Promise<Clocks> {
  const { rows } = await execute<{ database_ms: string; skew_ms: string | null }>(db, CLOCKS);
  return { databaseMs: Number(rows[0]!.database_ms), skewMs: Number(rows[0]!.skew_ms ?? 0) };
}

export async function writeSkew(db: pg.Pool, skewMs: number): Promise<void> {
  await db.query('select engine.note_skew($1)', [Math.round(skewMs)]);
}
