import pg from 'pg';

/**
 * The executed plan of every statement of the engine in this process, those inside functions and triggers too.
 * auto_explain reports them one by one, so that a new query needs no entry anywhere.
 */
export interface SeenPlan {
  readonly role: string;
  readonly text: string;
  /** Milliseconds. */
  readonly ms: number;
  /** Pages of 8 kB that were read. */
  readonly pages: number;
  /** Rows that one scan of a table read, including those it filtered out; of the scan with the most. */
  readonly rows: number;
  /** Rows that all scans of tables read together. */
  readonly total: number;
  readonly scans: readonly Scan[];
}

/** A scan without a condition on its index, or without an index. */
export interface Scan {
  readonly table: string;
  readonly kind: string;
  readonly index: string | null;
  /** A node above it stops when enough rows were found. */
  readonly isLimited: boolean;
}

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  /** The average over the loops. */
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly Plans?: readonly Node[];
}

const ROLES = new Set(['app_api', 'app_worker', 'app_decisions', 'app_notifier', 'auditor']);

/** Settings of a database: its connections report their plans. */
const TELLING: Readonly<Record<string, string>> = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_timing': 'off',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_nested_statements': 'on',
  'auto_explain.log_format': 'json',
  client_min_messages: 'log',
};

/** For small tables: the planner never chooses to read one whole. */
const SMALL_TABLES = { enable_seqscan: 'off' };

/** Makes connections of this database that are opened from now on report their plans. */
export async function tellPlans(owner: pg.Pool, url: string, isSmall: boolean): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  const settings = { ...TELLING, ...(isSmall ? SMALL_TABLES : {}) };
  const client = await owner.connect();
  try {
    // Declares the settings to the server before they are set.
    await client.query(`load 'auto_explain'`);
    for (const [key, value] of Object.entries(settings)) {
      await client.query(`alter database ${name} set ${key} = '${value}'`);
    }
  } finally {
    client.release(true);
  }
}

/** Collects the plans that connections report which are opened from now on. */
export function collectPlans(): readonly SeenPlan[] {
  const seen: SeenPlan[] = [];
  const original = Reflect.get(pg.Client.prototype, 'connect') as (...given: unknown[]) => unknown;
  const connect = function (this: pg.Client, ...given: unknown[]) {
    this.on('notice', ({ message }) => {
      if (ROLES.has(this.user ?? '')) note(seen, this.user!, message ?? '');
    });
    return original.apply(this, given);
  };
  Object.assign(pg.Client.prototype, { connect });
  return seen;
}

function note(seen: SeenPlan[], role: string, message: string): void {
  const found = /^duration: ([0-9.]+) ms {2}plan:\n/.exec(message);
  if (found === null) return;
  const { Plan: plan, 'Query Text': text } = JSON.parse(message.slice(found[0].length)) as {
    Plan: Node;
    'Query Text': string;
  };
  seen.push({
    role,
    text: text.replaceAll(/\s+/g, ' ').trim(),
    ms: Number(found[1]),
    pages: (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0),
    rows: rowsOf(plan),
    total: totalOf(plan),
    scans: scansOf(plan, false),
  });
}

/** Rows that this node reads from a table. */
function ownRows(node: Node): number {
  const looked =
    (node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  const isScan = node['Relation Name'] !== undefined && node['Node Type'].endsWith('Scan');
  return isScan ? looked * (node['Actual Loops'] ?? 0) : 0;
}
const rowsOf = (node: Node): number => Math.max(ownRows(node), ...(node.Plans ?? []).map(rowsOf));
const totalOf = (node: Node): number => (node.Plans ?? []).reduce((sum, plan) => sum + totalOf(plan), ownRows(node));

function scansOf(node: Node, isLimited: boolean): Scan[] {
  const { 'Node Type': kind, 'Relation Name': table, Plans: plans = [] } = node;
  const isWhole = table !== undefined && kind.endsWith('Scan') && node['Index Cond'] === undefined;
  const own =
    isWhole && !['Subquery Scan', 'Bitmap Heap Scan', 'Tid Scan'].includes(kind)
      ? [{ table, kind, index: node['Index Name'] ?? null, isLimited }]
      : [];
  return [...own, ...plans.flatMap((plan) => scansOf(plan, isLimited || kind === 'Limit'))];
}

/** Tables that always stay small. */
const SMALL = new Set([
  'provider_clock',
  'api_key',
  'key_log',
  'restored',
  'seal_demand',
  'seal_mac',
  'schema_migration',
  'archive_lost',
  'double_at_migration',
  // Grows with merchants, not with deposits.
  'endpoint',
]);

/**
 * Returns the scans that read a growing table as a whole. Allowed: a whole read of an index with few rows (a partial
 * one), and one of an ordered index of which the first rows are enough.
 */
export function wholeReads(
  seen: readonly SeenPlan[],
  partial: ReadonlySet<string>,
  small: ReadonlySet<string> = SMALL,
): string[] {
  const faults = seen.flatMap(({ role, text, scans }) =>
    scans
      // PostgreSQL's own catalogue grows with the schema, not with deposits.
      .filter(({ table }) => !small.has(table) && !table.startsWith('pg_'))
      .filter(({ index, isLimited }) => index === null || !(isLimited || partial.has(index)))
      .map(({ kind, table, index }) => `${role}: ${kind} of ${table}${index === null ? '' : ` by ${index}`}: ${text}`),
  );
  return [...new Set(faults)];
}

/** Tables that are small here: the planner chooses to read them whole, whatever indexes there are. */
export async function smallTables(db: pg.Pool): Promise<Set<string>> {
  const { rows } = await db.query<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and pg_relation_size(oid) < 100000`,
  );
  return new Set(rows.map(({ name }) => name));
}

/** The indexes that hold only some of their table's rows. */
export async function partialIndexes(db: pg.Pool): Promise<Set<string>> {
  const { rows } = await db.query<{ name: string }>(
    'select relname as name from pg_index i join pg_class c on c.oid = i.indexrelid where indpred is not null',
  );
  return new Set(rows.map(({ name }) => name));
}

/** The indexes that exist only for lookups, and that no query has used yet. */
export async function unusedIndexes(db: pg.Pool): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select s.schemaname || '.' || s.indexrelname as name from pg_stat_user_indexes s join pg_index i using (indexrelid)
      where s.schemaname in ('engine', 'ledger') and s.idx_scan = 0 and not i.indisunique order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** No table of this database is analyzed by itself: the statistics are those of the moment that the test chose. */
export const analyzeByHandOnly = (owner: pg.Pool): Promise<unknown> =>
  owner.query(`do $$ declare t regclass; begin
    for t in select c.oid from pg_class c where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('engine', 'ledger')
    loop execute format('alter table %s set (autovacuum_enabled = false)', t); end loop; end $$`);
