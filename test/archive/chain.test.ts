import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  appendArchive,
  archivedRuns,
  archiveHead,
  archiveRows,
  type ArchiveRow,
  EMPTY_CHAIN,
  type NewArchiveRow,
} from '../../archive/chain.ts';
import { directoryObjects, postgresObjects } from '../../archive/objects.ts';
import { inTransaction } from '../../database/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

/** The chain by itself, with made-up runs. */
const run = (change: Partial<NewArchiveRow> = {}): NewArchiveRow => ({
  workflowId: 'deposit:o-1',
  runId: randomBytes(16).toString('hex'),
  workflowType: 'deposit',
  status: 'COMPLETED',
  closedAtUs: 1_795_384_672_123_457n,
  events: 15,
  historyHash: randomBytes(32),
  bundleHash: randomBytes(32),
  sdk: '@temporalio/worker@1.24.0',
  version: '0.1.0+3fa29c81d0e4',
  ...change,
});

const faults = async (db: TestDatabase) => {
  const { rows } = await db
    .poolFor('auditor')
    .query<{ n: string }>('select n from engine.verify_archive() where not ok order by n');
  return rows.map(({ n }) => Number(n));
};

/** The text that a row's hash covers besides the previous hash: a second reading of what \`engine.archive_line\` makes. */
const archiveLine = (row: ArchiveRow): string =>
  [
    row.n,
    row.workflowId,
    row.runId,
    row.workflowType,
    row.status,
    row.closedAtUs,
    row.events,
    row.historyHash.toString('hex'),
    row.bundleHash?.toString('hex') ?? '',
    row.sdk,
    row.version,
    row.archivedAtUs,
  ].join('|');
const isLinked = (row: ArchiveRow, head: { readonly n: number; readonly hash: Buffer }): boolean =>
  row.n === head.n + 1 &&
  row.prev.equals(head.hash) &&
  createHash('sha256').update(row.prev).update(archiveLine(row), 'utf8').digest().equals(row.hash);
const brokenRows = (rows: readonly ArchiveRow[]) => {
  let head = EMPTY_CHAIN;
  return rows.flatMap((row) => {
    const found = isLinked(row, head) ? [] : [row.n];
    head = row;
    return found;
  });
};
const first = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
async function chainOf(count: number) {
  const db = await createTestDatabase();
  for (let at = 1; at <= count; at += 1)
    await appendArchive(db.poolFor('app_worker'), run({ workflowId: `deposit:${at}` }));
  return db;
}
/** A forbidden change, made by the owner with the walls switched off. */
async function tamper(db: TestDatabase, sql: string): Promise<void> {
  await db.owner.query(
    `alter table engine.archive disable trigger append_only; ${sql}; alter table engine.archive enable trigger append_only`,
  );
}

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');

describe('the chain', () => {
  test('is empty at first, and the auditor can see that', async () => {
    expect(await archiveHead(db.poolFor('auditor'))).toEqual(EMPTY_CHAIN);
    expect(await faults(db)).toEqual([]);
  });

  test('has a row for each run, once however often it is appended, and counts without gaps', async () => {
    const first = run();
    expect(await appendArchive(worker, first)).toBe(1);
    expect(await appendArchive(worker, { ...first, version: 'later' })).toBe(1);
    // A transaction that fails must not leave a gap.
    await expect(
      inTransaction(worker, async (client) => {
        await appendArchive(client, run());
        throw new Error('lost');
      }),
    ).rejects.toThrow('lost');
    expect(await appendArchive(worker, run({ bundleHash: null, sdk: '', status: 'TERMINATED' }))).toBe(2);
    const many = await Promise.all(Array.from({ length: 20 }, () => appendArchive(worker, run())));
    expect(many.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, at) => at + 3));
    expect(await faults(db)).toEqual([]);
  });

  test('is recomputed by node:crypto from the columns as the page says', async () => {
    const { rows } = await db.owner.query<{ prev: Buffer; hash: Buffer; line: string; closed: string }>(
      `select prev, hash, engine.archive_line(a) as line, closed_at::text as closed from engine.archive a order by n`,
    );
    let prev = createHash('sha256').update('engine.archive').digest();
    for (const row of rows) {
      expect(row.prev.equals(prev)).toBe(true);
      prev = createHash('sha256').update(prev).update(row.line).digest();
      expect(row.hash.equals(prev)).toBe(true);
    }
    expect(rows[0]!.closed).toBe('2026-11-22 21:57:52.123457+00');
    expect(rows[0]!.line).toMatch(
      /^1\|deposit:o-1\|[0-9a-f]{32}\|deposit\|COMPLETED\|1795384672123457\|15\|[0-9a-f]{64}\|[0-9a-f]{64}\|@temporalio\/worker@1\.24\.0\|0\.1\.0\+3fa29c81d0e4\|\d{16}$/,
    );
    expect(rows[1]!.line).toMatch(/^2\|deposit:o-1\|\w+\|deposit\|TERMINATED\|\d+\|15\|[0-9a-f]{64}\|\|\|0\.1\.0/);
  });

  test('is read in pages in order, and TypeScript makes the same lines as SQL', async () => {
    const auditor = db.poolFor('auditor');
    const rows = await archiveRows(auditor, first(30));
    expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 22 }, (_, at) => at + 1));
    expect(brokenRows(rows)).toEqual([]);
    const { rows: lines } = await db.owner.query<{ line: string }>(
      'select engine.archive_line(a) as line from engine.archive a order by n',
    );
    expect(rows.map((row) => archiveLine(row))).toEqual(lines.map(({ line }) => line));
    expect(await archiveHead(auditor)).toEqual({ n: 22, hash: rows.at(-1)!.hash });
    expect(await archivedRuns(auditor, 'deposit:o-1')).toHaveLength(22);
    expect(await archivedRuns(auditor, 'deposit:none')).toEqual([]);
  });

  test.each([
    ['a separator', { version: '1|2' }],
    ['a blank', { sdk: 'a b' }],
    ['a line end', { workflowId: 'deposit:1\n' }],
  ])('takes no text with %s in it, which would make two rows look like one', async (_what, change) => {
    await expect(appendArchive(worker, run(change))).rejects.toMatchObject({ code: '23514' });
  });
});

describe('nothing is changed afterwards', () => {
  test.each(['archive', 'archive_object', 'archive_lost'])('in engine.%s, even by the owner', async (table) => {
    const column = table === 'archive_lost' ? 'workflow_id' : 'hash';
    for (const sql of [
      `update engine.${table} set ${column} = ${column}`,
      `delete from engine.${table}`,
      `truncate engine.${table}`,
    ]) {
      await expect(db.owner.query(sql), sql).rejects.toMatchObject({ code: 'P0E01' });
    }
  });

  test('and the worker cannot write a row past the function, nor clear the queue of what is not archived', async () => {
    await expect(worker.query('insert into engine.archive select * from engine.archive')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(worker.query('delete from engine.archive_due')).rejects.toMatchObject({ code: '42501' });
    await expect(worker.query(`select engine.archive_done('deposit:never', now())`)).rejects.toMatchObject({
      code: 'P0E21',
    });
  });
});

describe('with the walls switched off', () => {
  test.each([
    ['a changed hash of a history', `update engine.archive set history_hash = sha256('x') where n = 3`, [3]],
    ['a changed workflow', `update engine.archive set workflow_id = 'deposit:9' where n = 3`, [3]],
    [
      'a microsecond',
      `update engine.archive set archived_at = archived_at + interval '1 microsecond' where n = 5`,
      [5],
    ],
    [
      'a row made whole again by itself',
      `update engine.archive a set status = 'FAILED' where n = 2; update engine.archive a set hash = sha256(prev || convert_to(engine.archive_line(a), 'UTF8')) where n = 2`,
      [3],
    ],
    ['a dropped row', 'delete from engine.archive where n = 4', [5]],
    ['the first row dropped', 'delete from engine.archive where n = 1', [2]],
    [
      'two rows swapped',
      'update engine.archive set n = 99 where n = 2; update engine.archive set n = 2 where n = 3; update engine.archive set n = 3 where n = 99',
      [2, 3, 4],
    ],
  ] as const)('%s is found, by SQL and by TypeScript', async (_what, sql, broken) => {
    const tampered = await chainOf(6);
    await tamper(tampered, sql);
    expect(await faults(tampered)).toEqual(broken);
    expect(brokenRows(await archiveRows(tampered.owner, first(100)))).toEqual(broken);
  });

  test('a cut tail is not seen by the chain itself: that is what the copy of the head is for', async () => {
    const tampered = await chainOf(3);
    const head = await archiveHead(tampered.owner);
    await tamper(tampered, 'delete from engine.archive where n = 3');
    expect(await faults(tampered)).toEqual([]);
    expect(await archiveHead(tampered.owner)).not.toEqual(head);
  });
});

const hasPrograms = ['psql', 'xxd'].every((program) => spawnSync(program, ['--version']).error === undefined);

describe.skipIf(!hasPrograms)('docs/reference/archive.md, its commands as they stand there', () => {
  const page = readFileSync(new URL('../../docs/reference/archive.md', import.meta.url), 'utf8');
  const [row, text, directory] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1]!);
  const sh = (command: string, env: Record<string, string>) => {
    const done = spawnSync('sh', ['-c', command], { env: { PATH: process.env['PATH'], ...env }, encoding: 'utf8' });
    expect(done.stderr).toBe('');
    return done.stdout.trim().split('\n');
  };

  test('recompute the hash of a row and of a text', async () => {
    const [printed, kept] = sh(row!, { DATABASE_URL: db.url });
    expect(printed).toBe((await archiveRows(db.owner, [1]))[0]!.hash.toString('hex'));
    expect(kept).toBe(printed);
    const history = '{"events":[]}';
    const hash = createHash('sha256').update(history).digest();
    await postgresObjects(worker).put(hash, 'history', history);
    const name = hash.toString('hex');
    expect(sh(text!.replace('HASH', name), { DATABASE_URL: db.url })).toEqual([`${name}  -`]);
  });

  test('find a damaged file of a directory, and say nothing of a whole one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'deposit-archive-'));
    const hash = createHash('sha256').update('text').digest();
    await directoryObjects(folder).put(hash, 'history', 'text');
    expect(sh(directory!, { ARCHIVE_DIRECTORY: folder })).toEqual(['']);
    const wrong = join(folder, `${'0'.repeat(64)}.gz`);
    writeFileSync(wrong, readFileSync(join(folder, hash.toString('hex').slice(0, 2), `${hash.toString('hex')}.gz`)));
    expect(sh(directory!, { ARCHIVE_DIRECTORY: folder })).toEqual([`damaged: ${wrong}`]);
    rmSync(folder, { recursive: true });
  });
});
