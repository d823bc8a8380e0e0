import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { pruneInBatches } from '../../database/queries/prune.ts';
import type { BenchServers } from '../bench/servers/servers.ts';
import type { DepositCost, Pruning, TableSize } from './figures.ts';

/** The size of each table with at least one row for 200 deposits, largest first. */
export async function sizesOf(client: pg.Client, deposits: number): Promise<TableSize[]> {
  const { rows } = await client.query<{
    table: string;
    rows: string;
    bytes: string;
    indexes: Record<string, number> | null;
  }>(
    `select nspname || '.' || relname as table, reltuples::bigint as rows, pg_table_size(c.oid) as bytes,
            (select json_object_agg(i.indexrelid::regclass, pg_relation_size(i.indexrelid) order by pg_relation_size(i.indexrelid) desc)
               from pg_index i where i.indrelid = c.oid) as indexes
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where relkind = 'r' and nspname in ('engine', 'ledger') and reltuples >= $1 / 200 and relname <> 'schema_migration'
      order by pg_total_relation_size(c.oid) desc`,
    [deposits],
  );
  return rows.map((row) => ({
    table: row.table,
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    indexes: row.indexes ?? {},
  }));
}

/** PostgreSQL reports the changes of a connection within this time. */
const STATISTICS_LATE_MS = 11_000;

/** The log and the changes of rows while `work` makes so many deposits; nothing else may write. */
export async function costOf(client: pg.Client, deposits: number, work: () => Promise<unknown>): Promise<DepositCost> {
  const now = async () => {
    await sleep(STATISTICS_LATE_MS);
    const { rows } = await client.query<{ log: string; updates: string; hot: string }>(
      `select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as log, sum(n_tup_upd) as updates, sum(n_tup_hot_upd) as hot
         from pg_stat_user_tables where schemaname in ('engine', 'ledger')`,
    );
    return rows[0]!;
  };
  const before = await now();
  await work();
  const after = await now();
  const each = (name: 'log' | 'updates' | 'hot') => Number(after[name]) - Number(before[name]);
  return {
    deposits,
    logBytes: Math.round(each('log') / deposits),
    updates: each('updates') / deposits,
    hotUpdates: each('hot') / deposits,
  };
}

const DAY_MS = 86_400_000;
const BATCHES = 200;

/** Prunes as the worker does, for at most so many batches. */
export async function pruneSome(worker: pg.Pool): Promise<Pruning> {
  const batch = pruneInBatches(worker, 90 * DAY_MS);
  const times: number[] = [];
  let rows = 0;
  for (let more = true; more && times.length < BATCHES; ) {
    const startedMs = performance.now();
    const n = Object.values((await batch()).done).reduce((sum, pruned) => sum + pruned, 0);
    times.push(performance.now() - startedMs);
    rows += n;
    more = n > 0;
  }
  const seconds = times.reduce((sum, ms) => sum + ms, 0) / 1_000;
  return { rows, perSecond: Math.round(rows / seconds), slowestBatchMs: Math.round(Math.max(...times)) };
}

const SAMPLES = 4;
const SETTINGS_MS = 500;

/**
 * Returns a function that counts the pages that the statements of the engine's logins read in one call: the least of some
 * calls, because a relay works beside them. Null: this server has no pg_stat_statements.
 */
export async function countPages(
  servers: BenchServers,
  database: string,
): Promise<{ of(one: () => Promise<unknown>): Promise<number>; stop(): Promise<void> } | null> {
  if (!servers.hasStatements) return null;
  const track = (what: 'top' | 'none') =>
    servers.admin(async (client) => {
      await client.query(`alter system set pg_stat_statements.track = ${what}`);
      await client.query('select pg_reload_conf()');
      await sleep(SETTINGS_MS);
    });
  await servers.admin((client) => client.query('create extension if not exists pg_stat_statements'));
  await track('top');
  return {
    of: (one) =>
      servers.admin(async (client) => {
        let least = Infinity;
        for (let n = 0; n < SAMPLES; n += 1) {
          await client.query('select pg_stat_statements_reset()');
          await one();
          const { rows } = await client.query<{ pages: string }>(
            `select coalesce(sum(shared_blks_hit + shared_blks_read), 0) as pages from pg_stat_statements s
               join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.userid
              where d.datname = $1 and (r.rolname like 'app\\_%' or r.rolname = 'auditor')`,
            [database],
          );
          least = Math.min(least, Number(rows[0]!.pages));
        }
        return least;
      }),
    stop: () => track('none'),
  };
}
