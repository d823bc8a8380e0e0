import type pg from 'pg';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import type { Db } from './pool.ts';

/**
 * Checks whether the server logs the parameters of statements: proofs, encrypted names, seals. Only the server's owner
 * can change that, so it is an alarm (docs/guides/deployment.md#the-servers-log). Our sessions keep the parameters of a
 * failing statement out of the log by themselves (database/pool.ts).
 */

/**
 * Returns the settings that log parameters, with their values; empty: none does. auto_explain writes parameters into
 * the plan, whatever its own limit for them is.
 */
export async function parameterLogging(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ setting: string }>(
    `select s.name || '=' || s.value as setting
       from (select current_setting('log_parameter_max_length') <> '0' as writes) l
      cross join lateral (values
        ('log_statement', current_setting('log_statement'), l.writes and current_setting('log_statement') in ('mod', 'all')),
        ('log_min_duration_statement', current_setting('log_min_duration_statement'),
         l.writes and current_setting('log_min_duration_statement') <> '-1'),
        ('log_min_duration_sample', current_setting('log_min_duration_sample'),
         l.writes and current_setting('log_min_duration_sample') <> '-1' and current_setting('log_statement_sample_rate')::float > 0),
        ('log_transaction_sample_rate', current_setting('log_transaction_sample_rate'),
         l.writes and current_setting('log_transaction_sample_rate')::float > 0),
        ('log_parameter_max_length_on_error', current_setting('log_parameter_max_length_on_error'),
         current_setting('log_parameter_max_length_on_error') <> '0'),
        ('auto_explain.log_min_duration', current_setting('auto_explain.log_min_duration', true),
         coalesce(nullif(current_setting('auto_explain.log_min_duration', true), ''), '-1') <> '-1')) s (name, value, writes)
      where s.writes`,
  );
  return rows.map(({ setting }) => setting);
}

/**
 * Returns `max_prepared_transactions`: how many transactions the server keeps without a session. Above 0 any login may
 * leave one behind that keeps its lock on the books, over a restart too
 * (docs/internals/threat-model.md#what-a-leaked-login-can-stop).
 */
export async function keptTransactions(db: Db): Promise<number> {
  const { rows } = await db.query<{ n: number }>(`select current_setting('max_prepared_transactions')::int as n`);
  return rows[0]!.n;
}
export const KEEPS_TRANSACTIONS =
  'the server keeps prepared transactions, so any login can hold up all posting by one: set max_prepared_transactions to 0';

/** Called at a start. A database that is away is no reason for a warning, and there is no retry. */
export async function warnOfLogging(pool: pg.Pool, log: Log): Promise<void> {
  const settings = await parameterLogging(pool).catch(() => []);
  if (settings.length > 0) raiseAlarm(log, 'database_logs_parameters', { settings });
  if ((await keptTransactions(pool).catch(() => 0)) > 0) log.warn(KEEPS_TRANSACTIONS);
}
