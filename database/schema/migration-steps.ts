/** An index that is built or dropped beside the traffic, outside any transaction. */
export interface IndexStep {
  readonly does: 'build' | 'drop';
  /** With its schema. */
  readonly name: string;
  readonly sql: string;
}

export interface MigrationSteps {
  readonly indexes: readonly IndexStep[];
  /** The statements after them, in one transaction. */
  readonly sql: string;
}

/** The statements before this line of a file are indexes. */
const MARK = /^-- In one transaction:$/m;
const INDEX =
  /^create (unique )?index (?:concurrently if not exists )?([a-z_][a-z0-9_]*) on ((?:engine|ledger)\.)([a-z_]+ .*)$/;
const DROPPED = /^drop index concurrently if exists ((?:engine|ledger)\.[a-z_][a-z0-9_]*)$/;

/**
 * Reads a migration. Null: there is something else than an index before the mark. A file of nothing but indexes needs
 * no mark. Its indexes are built beside the traffic too, however they are written: so is 009-lookups.sql. An index that
 * is dropped in a transaction locks its table for itself, so one is dropped here as well.
 */
export function readSteps(text: string): MigrationSteps | null {
  const mark = MARK.exec(text);
  const indexes = statementsOf(mark === null ? text : text.slice(0, mark.index)).map(indexStep);
  const isWhole = (found: readonly (IndexStep | null)[]): found is IndexStep[] => !found.includes(null);
  if (mark !== null) return isWhole(indexes) ? { indexes, sql: text.slice(mark.index) } : null;
  return indexes.length > 0 && isWhole(indexes) ? { indexes, sql: '' } : { indexes: [], sql: text };
}

/** Splits at semicolons. Exact for indexes only: none of their texts holds a semicolon or two dashes. */
const statementsOf = (text: string): string[] =>
  text
    .replaceAll(/--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim().replaceAll(/\s+/g, ' '))
    .filter((statement) => statement !== '');

function indexStep(statement: string): IndexStep | null {
  const dropped = DROPPED.exec(statement)?.[1];
  if (dropped !== undefined) return { does: 'drop', name: dropped, sql: statement };
  const [, unique = '', name, schema, rest] = INDEX.exec(statement) ?? [];
  if (name === undefined) return null;
  return {
    does: 'build',
    name: `${schema}${name}`,
    sql: `create ${unique}index concurrently if not exists ${name} on ${schema}${rest}`,
  };
}

const ALTERED =
  /\balter table (?:if exists )?(?:only )?((?:engine\.|ledger\.)?[a-z_]+)|\b(?:create|replace|constraint|drop) trigger [^;]*?\bon ((?:engine\.|ledger\.)?[a-z_]+)/g;

/** A lock on a table that a file asks for. */
export interface TableLock {
  /** With its schema; there need not be one of that name. */
  readonly table: string;
  readonly mode: 'access exclusive' | 'share row exclusive';
}

/**
 * Returns the tables that a file alters or sets triggers on: in the order of the file, each with the strongest lock it
 * needs.
 */
export function locksOf(sql: string): TableLock[] {
  const locks = new Map<string, TableLock['mode']>();
  for (const [, altered, watched] of statementsOf(sql).join(';').matchAll(ALTERED)) {
    const named = (altered ?? watched)!;
    const table = named.includes('.') ? named : `engine.${named}`;
    if (altered !== undefined || !locks.has(table))
      locks.set(table, altered === undefined ? 'share row exclusive' : 'access exclusive');
  }
  return Array.from(locks, ([table, mode]) => ({ table, mode }));
}
