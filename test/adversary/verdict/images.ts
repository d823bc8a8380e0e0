import type pg from 'pg';

/** The content of the tables, and a statement's changes to it. */

/** A row that was inserted, deleted or updated. Values are texts, as PostgreSQL writes them. */
export interface Change {
  readonly table: string;
  readonly kind: 'insert' | 'update' | 'delete';
  readonly before: Row | null;
  readonly after: Row | null;
  /** The columns that differ, for an update. */
  readonly columns: readonly string[];
}
export type Row = Readonly<Record<string, string | null>>;
export type Images = ReadonlyMap<string, ReadonlyMap<string, Row>>;

/** Every table of the engine's schemas, with its key. */
type Table = { readonly name: string; readonly key: readonly string[]; readonly columns: readonly string[] };
export type Tables = ReadonlyMap<string, Table>;

export async function readTables(db: pg.ClientBase): Promise<Tables> {
  const { rows } = await db.query<Table>(`
    select n.nspname || '.' || c.relname as name,
           coalesce((select array_agg(a.attname::text order by a.attnum) from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
             where i.indrelid = c.oid and i.indisprimary), (select array_agg(a.attname::text) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)) as key,
           (select array_agg(a.attname::text order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('engine', 'ledger') and c.relkind in ('r', 'p') order by 1`);
  return new Map(rows.map((row) => [row.name, row]));
}

/** How many rows of each table this session has written; what was rolled back counts too. */
export async function readWrites(db: pg.ClientBase): Promise<ReadonlyMap<string, number>> {
  const { rows } = await db.query<{ name: string; writes: number }>({
    name: 'writes',
    text: `select schemaname || '.' || relname as name, (n_tup_ins + n_tup_upd + n_tup_del)::int as writes
             from pg_stat_xact_user_tables where schemaname in ('engine', 'ledger')`,
  });
  return new Map(rows.map(({ name, writes }) => [name, writes]));
}

async function readImage(db: pg.ClientBase, { name, key, columns }: Table): Promise<ReadonlyMap<string, Row>> {
  // Packed texts are large: compared by their hash.
  const listed = columns.map((column) =>
    column === 'bytes' ? `md5(t.bytes) as bytes` : `t."${column}"::text as "${column}"`,
  );
  const text = `select ${listed.join(', ')} from ${name.replace('.', '."')}" t`;
  const { rows } = await db.query<Row>({ name: `image ${name}`, text });
  return new Map(rows.map((row) => [key.map((column) => row[column]).join('|'), row]));
}

export async function readImages(db: pg.ClientBase, tables: Tables): Promise<Images> {
  const images = new Map<string, ReadonlyMap<string, Row>>();
  for (const table of tables.values()) images.set(table.name, await readImage(db, table));
  return images;
}

/** The changes since these images were taken, in tables that were written to since `writes`. */
export async function changesSince(
  db: pg.ClientBase,
  tables: Tables,
  images: Images,
  writes: ReadonlyMap<string, number>,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const [name, written] of await readWrites(db)) {
    if (written === (writes.get(name) ?? 0)) continue;
    changes.push(...inTable(name, images.get(name)!, await readImage(db, tables.get(name)!)));
  }
  return changes;
}

/** The changes between two images of everything. */
export const differences = (before: Images, after: Images): readonly Change[] =>
  [...before].flatMap(([name, rows]) => inTable(name, rows, after.get(name)!));

function inTable(table: string, before: ReadonlyMap<string, Row>, after: ReadonlyMap<string, Row>): Change[] {
  const changes: Change[] = [];
  for (const [key, row] of before) {
    const now = after.get(key);
    if (now === undefined) changes.push({ table, kind: 'delete', before: row, after: null, columns: [] });
    else {
      const columns = Object.keys(row).filter((column) => row[column] !== now[column]);
      if (columns.length > 0) changes.push({ table, kind: 'update', before: row, after: now, columns });
    }
  }
  for (const [key, row] of after)
    if (!before.has(key)) changes.push({ table, kind: 'insert', before: null, after: row, columns: [] });
  return changes;
}

/**
 * The names of the objects of a change in a finding: `deposit:n`, `callback 7`, `posting 3`, a case, an account. For a
 * row that belongs to another, the other's names too.
 */
export function namesOf({ table, before, after }: Change, images: Images): readonly string[] {
  const names = new Set<string>();
  for (const row of [before, after]) {
    if (row === null) continue;
    const add = (value: string | null | undefined, name: (value: string) => string) => {
      if (value !== null && value !== undefined && value !== '') names.add(name(value));
    };
    const same = (value: string) => value;
    const deposit = (value: string) => `deposit:${value}`;
    add(row['external_order_number'], deposit);
    add(row['external_order_number'], same);
    add(row['workflow_id'], same);
    add(row['held_by'], same);
    switch (table) {
      case 'engine.callback':
        add(row['id'], (id) => `callback ${id}`);
        break;
      case 'engine.callback_attempt':
      case 'engine.review_case':
        add(row['callback'], (id) => `callback ${id}`);
        break;
      case 'engine.decision':
        add(row['id'], (id) => `decision ${id}`);
        add(row['proposal'], (id) => `decision ${id}`);
        break;
      case 'engine.stated_facts':
      case 'engine.refused_step': {
        add(row['decision'], (id) => `decision ${id}`);
        const step = images.get('engine.decision')?.get(row['decision']!);
        add(step?.['proposal'], (id) => `decision ${id}`);
        add(step?.['workflow_id'], same);
        break;
      }
      case 'engine.carried':
        add(row['proposal'], (id) => `decision ${id}`);
        break;
      case 'engine.event':
        add(row['subject'], same);
        add(row['subject'], deposit);
        add(row['subject'], (of) => `event evt_${of}_${row['sequence']}`);
        add(row['case_id'], (id) => `case ${id}`);
        add(row['posting'], (id) => `posting ${id}`);
        break;
      case 'engine.own_stamp':
        add(row['timestamp_ms'], same);
        break;
      case 'engine.archive':
        add(row['n'], (n) => `archive row ${n}`);
        break;
      case 'engine.archive_object':
        add(row['hash'], (hash) => hash.replace('\\x', ''));
        break;
      case 'engine.seal_epoch':
        names.add('seal epoch');
        break;
      case 'engine.api_key':
        add(row['id'], (id) => `key ${id}`);
        add(row['id'], (id) => `K${id}`);
        add(row['name'], same);
        break;
      case 'ledger.transaction':
        add(row['id'], (id) => `posting ${id}`);
        add(row['deposit'], deposit);
        break;
      case 'ledger.entry':
      case 'ledger.lineage':
        add(row['transaction_id'], (id) => `posting ${id}`);
        break;
      case 'ledger.slot':
      case 'ledger.double_at_migration':
        add(row['deposit'], deposit);
        break;
      case 'engine.key_log':
        add(row['n'], (n) => `key log ${n}`);
        add(row['key_id'], (id) => `key K${id}`);
        add(row['name'], same);
        break;
      case 'ledger.balance':
        add(images.get('ledger.account')?.get(row['account_id']!)?.['code'], (code) => `account ${code}`);
        break;
      case 'ledger.account':
        add(row['code'], (code) => `account ${code}`);
        break;
      case 'ledger.block':
        add(row['n'], (n) => `block ${n}`);
        break;
    }
  }
  return [...names];
}

/** Whether a text contains the name, and not only a longer one that includes it. */
export function isNamedIn(text: string, name: string): boolean {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    const [left, right] = [text[at - 1] ?? ' ', text[at + name.length] ?? ' '];
    if (!/[\w-]/.test(left) && !/[\w-]/.test(right)) return true;
  }
  return false;
}
