import type pg from 'pg';
import type { FindingKind } from '../../../audit/report/findings.ts';
import type { Finding } from '../../../audit/report/report.ts';
import { createClient, openConnection } from '../../../database/pool.ts';
import {
  type Change,
  changesSince,
  differences,
  isNamedIn,
  namesOf,
  readImages,
  readTables,
  readWrites,
} from './images.ts';
import { isCountedPastFifty, legalReason } from './legal.ts';
import { becomeAuditor, catalogueFindings, LATER, type Later, look, type Prepared } from './look.ts';
import type { Scene } from '../scene/scene.ts';
import type { Attempt, Statement } from '../statements/statement.ts';

export const VERDICTS = ['refused', 'changed nothing', 'found', 'legal', 'unseen'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Outcome {
  readonly attempt: Attempt;
  /** The time of the attempt: times of its changes are relative to it. */
  readonly atMs: number;
  readonly verdict: Verdict;
  /** SQLSTATE and message, the finding, or the reason why it is legal. */
  readonly why: string;
  readonly changes: readonly Change[];
  /** Names of touched objects that a finding names. */
  readonly named: readonly string[];
  /** The kinds of all findings. */
  readonly everyKind: readonly FindingKind[];
}

export interface TrialOptions {
  /** Checks that are switched off. */
  readonly without?: ReadonlySet<FindingKind>;
  /** With every trigger and foreign key off, as for a superuser. */
  readonly unbound?: boolean;
  /** A finding has to name one of each. Default: one of the touched objects. */
  readonly mustName?: readonly (readonly string[])[];
  /** The verdicts on its parts alone: where the whole changes no more than one of them, it is judged as that one. */
  readonly alone?: readonly Outcome[];
}

/** One database in which every attempt is rolled back, until one is committed. */
export interface Bench {
  /** Runs the attempt over the logins themselves, each step committed. Only once: the database differs afterwards. */
  commit(attempt: Attempt): Promise<Outcome>;
  try(attempt: Attempt, options?: TrialOptions): Promise<Outcome>;
  /** The findings in the untouched book, as it was made. */
  readonly anyway: ReadonlySet<string>;
  /** Whether an object of this name was there before. */
  isKnown(name: string): boolean;
  close(): Promise<void>;
}

type Judged = Pick<Outcome, 'verdict' | 'why' | 'named' | 'everyKind'>;

export async function openBench(url: string, scene: Scene, prepared: Prepared): Promise<Bench> {
  const db = await openConnection({ url, applicationName: 'adversary' });
  await db.query('set jit = off');
  const tables = await readTables(db);
  const images = await readImages(db, tables);
  const judged = new Map<string, Judged>();
  const known = new Set(
    [...images].flatMap(([table, rows]) =>
      [...rows.values()].flatMap((after) =>
        namesOf({ table, kind: 'insert', before: null, after, columns: [] }, images),
      ),
    ),
  );
  /** Findings without any attempt, because the book was left in the middle of its work. */
  const anyway = new Map<Later, ReadonlySet<string>>();
  for (const later of LATER) {
    const findings = await within(db, async () => {
      await becomeAuditor(db);
      return look(db, prepared, later);
    });
    anyway.set(later, new Set(findings.map(keyOf)));
  }

  async function judge(
    attempt: Attempt,
    changes: readonly Change[],
    mustName: TrialOptions['mustName'],
    without: ReadonlySet<FindingKind>,
  ): Promise<Judged> {
    const names = [...new Set(changes.flatMap((change) => namesOf(change, images)))];
    const legal = legalReason(attempt, changes);
    await becomeAuditor(db);
    for (const later of LATER) {
      const findings = (await look(db, prepared, later)).filter(
        (one) => !anyway.get(later)!.has(keyOf(one)) && !without.has(one.kind),
      );
      const isNamed = (name: string) => findings.some((finding) => isNamedIn(textOf(finding), name));
      if ((mustName ?? [names]).every((some) => some.some(isNamed))) {
        const naming = findings.filter((finding) => names.some((name) => isNamedIn(textOf(finding), name)));
        const [first] = naming;
        const why = first === undefined ? '' : `${first.kind} ${textOf(first)}`;
        return { verdict: 'found', why, named: names.filter(isNamed), everyKind: findings.map(({ kind }) => kind) };
      }
      if (legal !== null && (mustName === undefined || isCountedPastFifty(changes)))
        return { verdict: 'legal', why: legal, named: [], everyKind: [] };
    }
    return { verdict: 'unseen', why: changes.map(inShort).join('; '), named: [], everyKind: [] };
  }

  /** Judges an attempt that changed no row: it may have changed a function, a trigger or a right. */
  async function judgeCatalogue({ steps }: Attempt): Promise<Judged> {
    const nothing: Judged = { verdict: 'changed nothing', why: '', named: [], everyKind: [] };
    if (!steps.some(({ sql }) => /^(alter|create|drop|grant|revoke)\b/i.test(sql))) return nothing;
    await becomeAuditor(db);
    const [first, ...more] = await catalogueFindings(db);
    if (first === undefined) return nothing;
    const kinds = [first, ...more].map(({ kind }) => kind);
    return { verdict: 'found', why: `${first.kind} ${textOf(first)}`, named: [first.where], everyKind: kinds };
  }

  return {
    async commit(attempt) {
      const atMs = Date.now();
      const { refusal } = await strike(url, attempt, scene);
      if (refusal !== null)
        return { attempt, atMs, verdict: 'refused', why: refusal, changes: [], named: [], everyKind: [] };
      return within(db, async () => {
        const changes = differences(images, await readImages(db, tables));
        if (changes.length === 0) return { attempt, atMs, changes, ...(await judgeCatalogue(attempt)) };
        return { attempt, atMs, changes, ...(await judge(attempt, changes, undefined, new Set())) };
      });
    },
    async try(attempt, { without = new Set<FindingKind>(), unbound = false, mustName, alone = [] } = {}) {
      return within(db, async () => {
        const atMs = Date.now();
        const writes = await readWrites(db);
        const refusal = await carryOut(db, attempt, scene, unbound);
        if (refusal !== null)
          return { attempt, atMs, verdict: 'refused', why: refusal, changes: [], named: [], everyKind: [] };
        const changes = await changesSince(db, tables, images, writes);
        if (changes.length === 0) return { attempt, atMs, changes, ...(await judgeCatalogue(attempt)) };
        const same = alone.find((one) => isSameEffect(one, { atMs, changes }));
        if (same !== undefined) return { ...same, attempt };
        const effect = JSON.stringify([effectOf(attempt, changes), mustName, [...without]]);
        const verdict = judged.get(effect) ?? (await judge(attempt, changes, mustName, without));
        judged.set(effect, verdict);
        return { attempt, atMs, changes, ...verdict };
      });
    },
    anyway: anyway.get('now')!,
    isKnown: (name) => known.has(name),
    close: () => db.end(),
  };
}

/**
 * Over the real logins, each step committed. `refusal` null: all were accepted; `done`: the count of steps before it.
 */
export async function strike(
  url: string,
  { steps }: Attempt,
  scene: Scene,
): Promise<{ readonly refusal: string | null; readonly done: number }> {
  let done = 0;
  try {
    for (const step of steps) {
      const login = new URL(url);
      login.username = step.role;
      const client = createClient({
        connectionString: login.href,
        options: '-c search_path=engine,pg_temp -c TimeZone=UTC',
      });
      await client.connect();
      try {
        await carryOutStep(client, step, scene);
      } finally {
        await client.end();
      }
      done += 1;
    }
    return { refusal: null, done };
  } catch (error) {
    return { refusal: inWords(error), done };
  }
}

/** Null: it was accepted. */
async function carryOut(db: pg.ClientBase, { steps }: Attempt, scene: Scene, unbound: boolean): Promise<string | null> {
  try {
    for (const step of steps) {
      if (unbound) await db.query('set local session_replication_role = replica');
      else await db.query(`set local role ${step.role}`);
      await carryOutStep(db, step, scene);
      await db.query('set local role none');
    }
    // The constraint checks of a commit.
    await db.query('set constraints all immediate');
    return null;
  } catch (error) {
    return inWords(error);
  }
}

function inWords(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return `${code ?? ''} ${message.split('\n')[0]}`;
}

export async function carryOutStep(db: pg.ClientBase, { sql, values }: Statement, scene: Scene): Promise<void> {
  await db.query(
    sql,
    values.map(({ take }) => asParameter(take(scene), sql)),
  );
}

const asParameter = (value: unknown, sql: string): unknown => {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return sql.includes('jsonb') ? JSON.stringify(value) : value;
};

async function within<T>(db: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await db.query('begin');
  try {
    return await work();
  } finally {
    await db.query('rollback');
  }
}

const textOf = ({ where, detail }: Finding): string => `${where}: ${detail}`;
/** The effect, without times of today: statements with the same effect are judged alike. */
const effectOf = ({ steps }: Attempt, changes: readonly Change[]): string =>
  JSON.stringify([steps.map(({ role, by }) => [role, by]), changes]).replaceAll(
    /20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?/g,
    (time) => (Math.abs(Date.parse(`${time.replace(' ', 'T')}Z`) - Date.now()) < 60_000 ? 'now' : time),
  );
const TIME = /20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|\b1[789]\d{11}\b/g;
const NEAR_MS = 5_000;
const msOf = (time: string): number => (time.includes(':') ? Date.parse(`${time.replace(' ', 'T')}Z`) : Number(time));
/** The hash of a line of the archive, which has its time, is left out. */
const withoutHash = (changes: readonly Change[]): string =>
  JSON.stringify(
    changes.map((change) =>
      change.table === 'engine.archive' ? { ...change, after: { ...change.after, hash: null } } : change,
    ),
  );

/** Whether two had the same effect: times and stamps are equal, or equally far from the time of their attempt. */
export function isSameEffect(
  one: Pick<Outcome, 'atMs' | 'changes'>,
  other: Pick<Outcome, 'atMs' | 'changes'>,
): boolean {
  const [first, second] = [one, other].map(({ changes }) => withoutHash(changes));
  if (first!.replaceAll(TIME, '') !== second!.replaceAll(TIME, '')) return false;
  const times = second!.match(TIME) ?? [];
  return (first!.match(TIME) ?? []).every((time, i) => {
    const [was, is] = [time, times[i]!].map(msOf);
    return time === times[i] || Math.abs(was! - one.atMs - (is! - other.atMs)) < NEAR_MS;
  });
}
const keyOf = ({ kind, where, detail }: Finding): string => `${kind}|${where}|${detail}`;
export const inShort = ({ table, kind, before, after, columns }: Change): string => {
  const row = after ?? before!;
  const key = row['id'] ?? row['workflow_id'] ?? row['external_order_number'] ?? Object.values(row)[0];
  const what = columns
    .map((column) => `${column} ${before![column] ?? 'null'} -> ${after![column] ?? 'null'}`)
    .join(', ');
  return `${kind} ${table} ${key}${what === '' ? '' : `: ${what}`}`.slice(0, 300);
};
