import { createRandom } from '../../attack/random.ts';
import type { Powers, Routine, Table } from './catalogue.ts';
import { type Call, GENUINE } from './genuine.ts';
import { poolFor } from './pools.ts';
import type { Part, Situation } from '../scene/scene.ts';
import { literal, part, type Statement, type Value } from './statement.ts';

/** Statements that each login might try, from its rights in the catalogue; and a probe of a right that it lacks. */
export function statementsOf(powers: Powers, seed: number): readonly Statement[] {
  return [
    ...powers.tables.flatMap((table) => onTable(powers.role, table)),
    ...powers.views.flatMap((view) => probes(powers.role, view)),
    ...powers.sequences.map((name) => plain(powers.role, `setval ${name}`, `select setval('${name}', 1)`)),
    ...powers.routines.flatMap((routine) => onRoutine(powers.role, routine, seed)),
  ];
}

const plain = (role: string, by: string, sql: string, values: readonly Value[] = []): Statement => ({
  role,
  by,
  text: values.length === 0 ? sql : `${sql} -- ${values.map(({ text }) => text).join(', ')}`,
  sql,
  values,
});

const probes = (role: string, name: string): Statement[] => [
  plain(role, `delete ${name}`, `delete from ${name}`),
  plain(role, `truncate ${name}`, `truncate ${name} cascade`),
];

/** A row that identifies each table: the situation of which its key is a part. */
const ROWS: Readonly<Record<string, { readonly where: string; readonly by: Part; readonly of: readonly Situation[] }>> =
  {
    'engine.deposit': {
      where: 'external_order_number = $1',
      by: 'order',
      of: ['waiting', 'credited', 'expired', 'doubtful', 'pending'],
    },
    'engine.placement_attempt': { where: 'external_order_number = $1', by: 'order', of: ['waiting', 'unplaced'] },
    'engine.callback': { where: 'id = $1', by: 'callback', of: ['credited', 'pending', 'doubtful', 'unknown'] },
    'engine.callback_attempt': { where: 'callback = $1', by: 'callback', of: ['credited', 'pending'] },
    'engine.callback_stamp': { where: 'external_order_number = $1', by: 'order', of: ['credited', 'pending'] },
    'engine.review_case': { where: 'workflow_id = $1', by: 'case', of: ['doubtful', 'proposed', 'decided', 'second'] },
    'engine.decision': { where: 'id = $1', by: 'proposal', of: ['proposed', 'agreed', 'decided'] },
    'engine.carried': { where: 'proposal = $1', by: 'proposal', of: ['decided', 'reversed'] },
    'engine.event': { where: 'subject = $1', by: 'order', of: ['credited', 'decided'] },
    'engine.archive': { where: `workflow_id = 'deposit:' || $1`, by: 'order', of: ['credited', 'decided'] },
    'engine.archive_object': { where: 'hash = $1', by: 'history', of: ['credited'] },
    'ledger.transaction': { where: 'id = $1', by: 'posting', of: ['credited', 'decided', 'reversed'] },
    'ledger.entry': { where: 'transaction_id = $1', by: 'posting', of: ['credited'] },
    'ledger.lineage': { where: 'transaction_id = $1', by: 'posting', of: ['decided', 'reversed'] },
    'ledger.slot': { where: 'deposit = $1', by: 'order', of: ['credited', 'beside'] },
  };

function onTable(role: string, table: Table): Statement[] {
  const { name } = table;
  const rows = ROWS[name.replaceAll('"', '')];
  const where = rows === undefined ? 'true' : rows.where;
  const keys = rows === undefined ? [null] : rows.of.map((situation) => part(situation, rows.by));
  const updates = table.columns.flatMap((column) => {
    const values = poolFor(column.name, column.type, column.words);
    if (!column.update) return plain(role, `update ${name}`, `update ${name} set "${column.name}" = "${column.name}"`);
    const at = rows === undefined ? '$1' : '$2';
    return keys.flatMap((key) =>
      values.map((value) =>
        plain(
          role,
          `update ${name}`,
          `update ${name} set "${column.name}" = ${at}::${column.type} where ${where}`,
          key === null ? [value] : [key, value],
        ),
      ),
    );
  });
  const deletes = keys.map((key) =>
    plain(role, `delete ${name}`, `delete from ${name} where ${where}`, key === null ? [] : [key]),
  );
  const truncate = plain(role, `truncate ${name}`, `truncate ${name} cascade`);
  return [...updates, ...inserts(role, table), ...(table.isDelete ? deletes : deletes.slice(0, 1)), truncate];
}

/** Clones of a genuine row with one column, or its key and another one, changed. */
function inserts(role: string, table: Table): Statement[] {
  const { name } = table;
  const granted = table.columns.filter(({ insert }) => insert);
  const by = `insert ${name}`;
  if (granted.length === 0) return [plain(role, by, `insert into ${name} default values`)];
  const columns = granted.filter(({ generated }) => !generated);
  const rows = ROWS[name.replaceAll('"', '')];
  const from = rows === undefined ? 'limit 1' : `where ${rows.where} limit 1`;
  const sources = rows === undefined ? [null] : rows.of.slice(0, 2).map((situation) => part(situation, rows.by));
  const fresh = new Set(table.key);
  return sources.flatMap((source) =>
    columns.flatMap((changed) =>
      poolFor(changed.name, changed.type, changed.words).map((value) => {
        const values: Value[] = source === null ? [] : [source];
        const listed = columns.map((column) => {
          const isChanged = column.name === changed.name;
          if (!isChanged && !fresh.has(column.name)) return `"${column.name}"`;
          values.push(isChanged ? value : newKey(column.type));
          return `$${values.length}::${column.type}`;
        });
        const names = columns.map((column) => `"${column.name}"`).join(', ');
        return plain(
          role,
          by,
          `insert into ${name} (${names}) select ${listed.join(', ')} from ${readable(name, columns, listed)} ${from}`,
          values,
        );
      }),
    ),
  );
}

/** Replaces a column that the login may not read by another value. */
function readable(name: string, columns: Table['columns'], listed: string[]): string {
  columns.forEach((column, i) => {
    if (column.name === 'payer_name') listed[i] = `'\\x00'::bytea`;
    if (column.name === 'payer_name_key') listed[i] = `'evil'`;
  });
  return name;
}

const newKey = (type: string): Value =>
  literal(type === 'text' ? 'o-evil-new' : type === 'bytea' ? Buffer.alloc(32, 9) : 900_001);

function onRoutine(role: string, routine: Routine, seed: number): Statement[] {
  const calls = GENUINE[routine.name];
  if (calls !== undefined) return calls.flatMap((call) => swapped(role, routine, call));
  if (routine.args.length === 0) return [called(role, routine, [])];
  return guessed(role, routine, seed);
}

function called(role: string, { name, args }: Routine, values: readonly Value[]): Statement {
  const casts = args.map(({ type }, i) => `$${i + 1}::${type}`);
  return {
    role,
    by: name,
    text: `${name}(${values.map(({ text }, i) => `${args[i]!.name} => ${text}`).join(', ')})`,
    sql: `select * from ${name}(${casts.join(', ')})`,
    values,
  };
}

/** The genuine call, and copies of it with each argument swapped in turn. */
function swapped(role: string, routine: Routine, call: Call): Statement[] {
  const base = routine.args.map(({ name }) => call[name] ?? literal(null));
  return [
    called(role, routine, base),
    ...routine.args.flatMap(({ name, type }, i) =>
      poolFor(name, type)
        .filter(({ text }) => text !== base[i]!.text)
        .map((value) => called(role, routine, base.with(i, value))),
    ),
  ];
}

const GUESSES = 25;

/** Calls of a function without a genuine call. */
function guessed(role: string, routine: Routine, seed: number): Statement[] {
  const random = createRandom(seed);
  return Array.from({ length: routine.isReading ? 2 : GUESSES }, () =>
    called(
      role,
      routine,
      routine.args.map(({ name, type }) => random.pick(poolFor(name, type))),
    ),
  );
}

/** Functions without a genuine call, so that the report shows a new one. */
export const withoutGenuine = (powers: Powers): readonly string[] =>
  powers.routines
    .filter(({ name, args }) => name.startsWith('engine.') && args.length > 0 && GENUINE[name] === undefined)
    .map(({ name }) => name);
