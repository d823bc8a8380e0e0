import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import { catalogueSql, FACTS } from './catalogue-sql.ts';
import { isContract, MIGRATIONS, readMigrations } from './migrate.ts';
import { inTransaction } from '../pool.ts';

/**
 * Compares functions, triggers, constraints, indexes, grants and roles with those that this version's migrations make
 * (docs/guides/audit.md#the-catalogue). The expected lines are shipped as text, so that a difference names its line.
 */

/** Written by `npm run catalogue`. */
export const CATALOGUE = fileURLToPath(new URL('../catalogue.txt', import.meta.url));

/** Written by `npm run catalogue`, to be read: migrations replace parts of functions, so none has the whole text. */
export const FUNCTIONS = fileURLToPath(new URL('../functions.sql', import.meta.url));

/** Returns the text of every function, as the file {@link FUNCTIONS}; same conditions as {@link catalogueLines}. */
export async function functionTexts(db: pg.ClientBase): Promise<string> {
  const { rows } = await db.query<{ text: string }>(
    `select pg_get_functiondef(p.oid) as text from pg_proc p
      where p.pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace) and p.prokind <> 'a'
      order by p.oid::regprocedure::text collate "C"`,
  );
  const head = '-- The present text of every function. Made by `npm run catalogue`; nothing runs this file.';
  return [head, ...rows.map(({ text }) => `${text.trimEnd()};`)].join('\n\n').concat('\n');
}

/**
 * Returns the lines of this database. Reads in the transaction of the caller, who has set
 * `search_path = pg_catalog, pg_temp`. Any role may.
 */
export async function catalogueLines(db: pg.ClientBase): Promise<string[]> {
  const version = await db.query<{ n: number }>(`select current_setting('server_version_num')::int as n`);
  const { rows } = await db.query<{ line: string }>(catalogueSql(version.rows[0]!.n));
  return rows.map(({ line }) => line);
}

/** One line that is not as it should be; null: there is none. */
export interface CatalogueDifference {
  /** `trigger admit on engine.decision` */
  readonly what: string;
  readonly expected: string | null;
  readonly found: string | null;
}

export interface CatalogueState {
  /** sha256 of the shipped manifest, in hexadecimal. */
  readonly hash: string;
  /** How many lines were compared; 0 where the expected lines are not known. */
  readonly compared: number;
  /** How the migrations differ from the files, in words; null: all are applied unchanged. */
  readonly migrations: string | null;
  /**
   * Whether that difference is normal between two versions: only files for `npm run migrate -- --contract` are left.
   */
  readonly awaitsContract: boolean;
  readonly differences: readonly CatalogueDifference[];
  /** Properties that differ from place to place and should be known, one sentence each. */
  readonly facts: readonly string[];
}

/** Compares with the manifest, at the stage that the migrations are at; same conditions as {@link catalogueLines}. */
export async function compareCatalogue(db: pg.ClientBase): Promise<CatalogueState> {
  const text = await readFile(CATALOGUE, 'utf8');
  const hash = createHash('sha256').update(text).digest('hex');
  const facts = await db.query<{ fact: string }>(FACTS);
  const stage = await stageOf(db);
  const expected = expectedAt(text, stage.left[0] ?? null);
  const known = {
    hash,
    migrations: stage.words,
    awaitsContract: stage.isContract,
    facts: facts.rows.map((r) => r.fact),
  };
  if (stage.isUnknown || expected === null) return { ...known, compared: 0, differences: [] };
  return { ...known, compared: expected.length, differences: differencesOf(expected, await catalogueLines(db)) };
}

/**
 * The manifest has the lines of the newest schema. For each contract file it has the lines that differ as long as that
 * file and those after it are left.
 */
const LEFT = /^@ while (\S+) is left$/;

/** Null: the manifest knows no such stage. */
function expectedAt(text: string, left: string | null): string[] | null {
  const lines = new Set<string>();
  let section: string | null = null;
  let isKnown = left === null;
  for (const line of text.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
    const name = LEFT.exec(line)?.[1];
    if (name !== undefined) {
      section = name;
      isKnown ||= name === left;
    } else if (section === null) lines.add(line);
    else if (section === left && line.startsWith('+')) lines.add(line.slice(1));
    else if (section === left) lines.delete(line.slice(1));
  }
  return isKnown ? [...lines] : null;
}

/** `stages`: the lines while a contract file is left. */
export function manifestOf(lines: readonly string[], stages: ReadonlyMap<string, readonly string[]>): string {
  const head =
    '# What PostgreSQL’s catalogue says of this version’s schema: docs/guides/audit.md#the-catalogue. Made by `npm run catalogue`.\n';
  const sections = [...stages].map(([name, at]) =>
    [
      `@ while ${name} is left`,
      ...lines.filter((line) => !at.includes(line)).map((line) => `-${line}`),
      ...at.filter((line) => !lines.includes(line)).map((line) => `+${line}`),
    ].join('\n'),
  );
  return `${head}${[lines.join('\n'), ...sections].join('\n')}\n`;
}

function differencesOf(expected: readonly string[], found: readonly string[]): CatalogueDifference[] {
  const is = new Set(found);
  const should = new Set(expected);
  // Several may have one name: the settings of a role.
  const extra = new Map<string, string[]>();
  for (const line of found.filter((one) => !should.has(one)))
    extra.set(nameOf(line), [...(extra.get(nameOf(line)) ?? []), line]);
  const lost = expected
    .filter((line) => !is.has(line))
    .map((line): CatalogueDifference => {
      const what = nameOf(line);
      const other = extra.get(what)?.shift();
      return { what, expected: restOf(line), found: other === undefined ? null : restOf(other) };
    });
  const left = [...extra].flatMap(([what, lines]) =>
    lines.map((line) => ({ what, expected: null, found: restOf(line) })),
  );
  return [...lost, ...left];
}

const nameOf = (line: string): string => line.split(': ', 1)[0]!;
const restOf = (line: string): string => line.slice(nameOf(line).length + 2);

interface Stage {
  readonly words: string | null;
  readonly left: readonly string[];
  readonly isContract: boolean;
  readonly isUnknown: boolean;
}

/** Compares the applied migrations with the files, by name and hash. */
async function stageOf(db: pg.ClientBase): Promise<Stage> {
  const may = await db.query<{ may: boolean }>(
    `select coalesce(has_table_privilege(to_regclass('engine.schema_migration'), 'select'), false) as may`,
  );
  const unknown = (words: string): Stage => ({ words, left: [], isContract: false, isUnknown: true });
  // A missing grant hides nothing: the lines are compared.
  if (!may.rows[0]!.may)
    return { ...unknown('which migrations were applied cannot be read: run npm run migrate'), isUnknown: false };
  const { rows } = await db.query<{ name: string; sha256: string }>(
    'select name, sha256 from engine.schema_migration order by name collate "C"',
  );
  const files = await readMigrations(MIGRATIONS);
  for (const row of rows) {
    const file = files.find(({ name }) => name === row.name);
    if (file === undefined)
      return unknown(`${row.name} is applied, which this version does not have: use the newer one`);
    if (file.sha256 !== row.sha256) return unknown(`${row.name} was applied with another text than this version's`);
  }
  const applied = new Set(rows.map(({ name }) => name));
  const left = files.map(({ name }) => name).filter((name) => !applied.has(name));
  if (left.length === 0) return { words: null, left, isContract: false, isUnknown: false };
  if (!left.every(isContract))
    return unknown(`the migrations are not finished: run npm run migrate, which applies ${left.join(', ')}`);
  return {
    words: `what only the version before needs is still there: run npm run migrate -- --contract, which applies ${left.join(', ')}`,
    left,
    isContract: true,
    isUnknown: false,
  };
}

/** Returns the sentence that follows the name of the line: the found and the expected text, cut where they are long. */
export function describeDifference({ expected, found }: CatalogueDifference): string {
  if (found === null) return `is not there; this version makes it${expected === '' ? '' : `: ${short(expected!)}`}`;
  if (expected === null)
    return `is there, and this version makes no such thing${found === '' ? '' : `: ${short(found)}`}`;
  return `is “${short(found)}”, and should be “${short(expected)}”`;
}

const short = (line: string): string => {
  const text = line.replaceAll(/(?<!")\$owner/g, 'whoever migrates');
  return text.length <= 320 ? text : `${text.slice(0, 319)}…`;
};

/**
 * Called at a start. Raises an alarm and refuses nothing. A database that is away is no reason, and there is no retry.
 * A database of another version, or before its contract, is a deployment under way.
 */
export async function warnOfCatalogue(pool: pg.Pool, log: Log): Promise<void> {
  const state = await inTransaction(pool, async (db) => {
    await db.query('set transaction isolation level repeatable read, read only');
    await db.query('set local search_path = pg_catalog, pg_temp');
    return compareCatalogue(db);
  }).catch(() => null);
  const first = state?.differences[0];
  if (state === null || first === undefined) return;
  const line = `${first.what} ${describeDifference(first)}`;
  raiseAlarm(log, 'catalogue_differs', { count: state.differences.length, first: line });
}
