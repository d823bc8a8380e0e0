import pg from 'pg';
import type { BenchServers } from './servers.ts';

export interface StatementCounts extends Omit<StatementCount, 'text'> {
  readonly transactions: number;
  /** The duration of the count; for transactions a little longer, because the server reports them late. */
  readonly ms: number;
  readonly transactionsMs: number;
  /** Ordered by total time, longest first. */
  readonly byText: readonly StatementCount[];
}

interface StatementCount {
  readonly text: string;
  readonly calls: number;
  readonly planningMs: number;
  readonly executionMs: number;
  readonly walBytes: number;
}

/** An idle connection reports its last transactions to the server's statistics within ten seconds. */
const STATISTICS_LATE_MS = 11_000;

/** Counts the statements of the engine's logins on a database: each statement from outside is a round trip. */
export async function openStatements(servers: BenchServers, database: string) {
  const switchTo = (track: 'top' | 'none') =>
    servers.admin(async (admin) => {
      await admin.query(`alter system set pg_stat_statements.track = ${track}`);
      await admin.query('select pg_reload_conf()');
    });
  const client = new pg.Client({ connectionString: servers.postgres.url, application_name: 'bench' });
  await client.connect();
  await client.query('create extension if not exists pg_stat_statements');
  await switchTo('top');
  const transactions = async (): Promise<{ readonly n: number; readonly atMs: number }> => {
    await client.query('select pg_sleep($1)', [STATISTICS_LATE_MS / 1_000]);
    const { rows } = await client.query<{ n: string }>(
      'select xact_commit + xact_rollback as n from pg_stat_database where datname = $1',
      [database],
    );
    return { n: Number(rows[0]!.n), atMs: performance.now() };
  };
  const walPosition = async (): Promise<number> => {
    const { rows } = await client.query<{ n: string }>(`select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as n`);
    return Number(rows[0]!.n);
  };
  /** The last count, from which the next one begins: nothing may run in between. */
  let known: Awaited<ReturnType<typeof transactions>> | null = null;
  return {
    /** Counts during `work`. WAL counts the whole server, so nothing else may write. */
    async during(work: () => Promise<unknown>): Promise<StatementCounts> {
      const before = known ?? (await transactions());
      await client.query('select pg_stat_statements_reset()');
      const wal = await walPosition();
      const startedMs = performance.now();
      await work();
      const ms = performance.now() - startedMs;
      const { rows } = await client.query<StatementCount>(
        `select regexp_replace(query, '\\s+', ' ', 'g') as text, sum(calls)::float as calls, sum(total_plan_time)::float as "planningMs",
                sum(total_exec_time)::float as "executionMs", sum(wal_bytes)::float as "walBytes"
           from pg_stat_statements s join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.userid
          where d.datname = $1 and r.rolname like 'app\\_%' group by 1 order by sum(total_plan_time + total_exec_time) desc`,
        [database],
      );
      const walBytes = (await walPosition()) - wal;
      const after = await transactions();
      known = after;
      const sum = (which: 'calls' | 'planningMs' | 'executionMs') => rows.reduce((all, row) => all + row[which], 0);
      return {
        calls: sum('calls'),
        planningMs: sum('planningMs'),
        executionMs: sum('executionMs'),
        transactions: after.n - before.n,
        transactionsMs: after.atMs - before.atMs,
        ms,
        walBytes,
        byText: rows.map((row) => ({ ...row, text: row.text.slice(0, 140) })),
      };
    },
    async close() {
      await switchTo('none');
      await client.end();
    },
  };
}
