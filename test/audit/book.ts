import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { afterAll, expect } from 'vitest';
import { createArchiver } from '../../activities/archiving.ts';
import { sha256 } from '../../archive/canonical-history.ts';
import { archiveObjects } from '../../archive/objects.ts';
import { audit, type AuditDependencies } from '../../audit/run/coordinator.ts';
import { NO_EXCEPTIONS } from '../../audit/exceptions.ts';
import { sealTrust } from '../support/seals.ts';
import type { FindingKind } from '../../audit/report/findings.ts';
import type { AuditReport, Finding } from '../../audit/report/report.ts';
import { type AuditCommand, parseCommand } from '../../audit/audit-arguments.ts';
import { createLog } from '../../telemetry/log.ts';
import type { Order } from '../../domain/order.ts';
import { temporalHistories } from '../../worker/temporal-histories.ts';
import { workflowSource } from '../../worker/workflow-source.ts';
import { claimDeliveries } from '../../database/queries/notifications/deliveries.ts';
import { openQueue } from '../notifications/queue.ts';
import { arrives, decideTogether, opened, operator, placed } from '../api/decisions.ts';
import { required } from '../support/database.ts';
import { type Engine, startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/** A small book with every way in which money moves, archived, and copies of it to tamper with. */
export interface Book {
  readonly engine: Engine;
  /** Order numbers by their outcome. */
  readonly deposits: Readonly<Record<Kind, string>>;
  /** The workflow code that decided all of it. */
  readonly code: string;
  audit(url?: string, ...words: string[]): Promise<AuditReport>;
  /** With other code, other exceptions, or the heads of an earlier report. */
  auditWith(change: Partial<AuditDependencies>, url?: string, ...words: string[]): Promise<AuditReport>;
  /** Two histories a part; finished parts are stored under `name`. */
  auditInParts(name: string, tell: (line: string) => void): Promise<AuditReport>;
  /** The address of a copy of the database in which `tamper` was run by a superuser. */
  tampered(tamper: string | ((db: pg.Client) => Promise<void>)): Promise<string>;
}
type Kind = 'credited' | 'price' | 'decided' | 'twice' | 'reversed' | 'rejected' | 'waiting' | 'doubtful';

export async function keepBook(): Promise<Book> {
  const engine = await startEngine();
  // As the owner: a pool of its own would stay connected.
  const { owner } = engine.db;
  const queue = await openQueue({ owner, poolFor: () => owner });
  await queue.endpoint();
  const deposits = await doBusiness(engine);
  await archiveAll(engine);
  await queue.publish();
  for (let taken = await claimDeliveries(owner, 64); taken.length > 0; taken = await claimDeliveries(owner, 64))
    await queue.settle(taken, { status: 204 });
  // A database is copied only while it has no connections.
  await engine.stopWorker();
  await engine.api.close();
  await engine.stopSandbox();
  const { workflowBundle } = await workflowSource({ workflowBundle: required('TEST_WORKFLOW_BUNDLE') }, false);
  return { engine, deposits, ...(await copiesOf(engine, workflowBundle.code)) };
}

/** Audits of a database, and of tampered copies of it. */
export async function copiesOf(
  { db, client }: Pick<Engine, 'db' | 'client'>,
  code: string,
): Promise<Omit<Book, 'engine' | 'deposits'>> {
  const out = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
  const copies: string[] = [];
  const admin = required('TEST_POSTGRES_URL');
  const original = new URL(db.url).pathname.slice(1);
  afterAll(async () => {
    await rm(out, { recursive: true, force: true });
    await withClient({ connectionString: admin }, async (client) => {
      for (const name of copies) await client.query(`drop database if exists ${name} with (force)`);
    });
  });
  const dependencies = (url: string) => auditing(url, client, code);

  return {
    code,
    async audit(url = db.url, ...words) {
      const command: AuditCommand = { ...parseCommand(words), out, fresh: true };
      return (await audit(dependencies(url), command)).report;
    },
    async auditWith(change, url = db.url, ...words) {
      const command: AuditCommand = { ...parseCommand(words), out, fresh: true };
      return (await audit({ ...dependencies(url), ...change }, command)).report;
    },
    async auditInParts(name, tell) {
      const command: AuditCommand = { ...parseCommand([]), out: join(out, name) };
      return (await audit({ ...dependencies(db.url), partSize: 2, tell }, command)).report;
    },
    async tampered(tamper) {
      const name = `book_${randomBytes(6).toString('hex')}`;
      copies.push(name);
      await withClient({ connectionString: admin }, async (client) => {
        await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [original]);
        await client.query(`create database ${name} template ${original}`);
      });
      const copy = new URL(db.url);
      copy.pathname = `/${name}`;
      await withClient({ connectionString: copy.href }, async (client) => {
        // A superuser meets no trigger and no foreign key.
        await client.query('set session_replication_role = replica');
        if (typeof tamper === 'string') await client.query(tamper);
        else await tamper(client);
      });
      return copy.href;
    },
  };
}

/** The dependencies of an audit, with the workflow code of today, as the role `auditor` and in this process alone. */
export const auditing = (url: string, client: Client, code: string): AuditDependencies => ({
  database: { url: asRole(url, 'auditor') },
  client,
  dataConverter: {},
  archiveDirectory: undefined,
  code,
  codeVersion: 'test',
  exceptions: NO_EXCEPTIONS,
  sealTrust: sealTrust(),
  links: { redirectHosts: ['127.0.0.1', 'pay.example'], plainHttpHosts: ['127.0.0.1'] },
  // Nothing is pending any more.
  patience: { looks: 2, everyMs: 50, youngMs: 0, archivedWithinMs: 0 },
  processes: 1,
  tell: () => undefined,
});

function asRole(url: string, role: string): string {
  const own = new URL(url);
  own.username = role;
  return own.href;
}

/** Every way in which money moves, once. */
export async function doBusiness(engine: Engine): Promise<Record<Kind, string>> {
  const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
  const credit = async (change: Record<string, unknown> = {}, paidWith: Record<string, unknown> = {}) => {
    const order = await placed(engine, change);
    await arrives(engine, order, paidWith);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    return order;
  };
  const doubtful = async (wallet: string) => {
    const order = await placed(engine, { wallet });
    await arrives(engine, order, { transactionAmount: '4999' });
    return { order, id: (await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing')).id as string };
  };
  const credited = await credit({ wallet: 'wallet-credited' });
  const price = await credit(
    { wallet: 'wallet-price', buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice: '32551.20' },
    { transactionAmount: '4521', paymentPrice: '32551.20' },
  );
  const decided = await doubtful('wallet-decided');
  await decideTogether(alice, bob, decided.id, { decision: 'credit' });
  const twice = await credit({ wallet: 'wallet-twice' });
  await arrives(engine, twice);
  const second = await opened(alice, twice, 'SECOND_CODE', 'parked');
  await decideTogether(bob, alice, second.id, { decision: 'credit', beside: await creditOf(engine, twice) });
  const reversed = await credit({ wallet: 'wallet-reversed' });
  const doubt = await alice.doubt({ externalOrderNumber: reversed.externalOrderNumber, reason: 'it was recalled' });
  await decideTogether(alice, bob, doubt.body.id, { decision: 'reverse' });
  const rejected = await doubtful('wallet-rejected');
  await decideTogether(alice, bob, rejected.id, { decision: 'reject' });
  const waiting = await placed(engine, { wallet: 'wallet-waiting' });
  const open = await doubtful('wallet-doubtful');
  return {
    credited: credited.externalOrderNumber,
    price: price.externalOrderNumber,
    decided: decided.order.externalOrderNumber,
    twice: twice.externalOrderNumber,
    reversed: reversed.externalOrderNumber,
    rejected: rejected.order.externalOrderNumber,
    waiting: waiting.externalOrderNumber,
    doubtful: open.order.externalOrderNumber,
  };
}

/** The posting that a deposit shows. */
async function creditOf({ db }: Engine, { externalOrderNumber }: Order): Promise<string> {
  const { rows } = await db.owner.query<{ id: string }>(
    'select posting_id::text as id from engine.deposit where external_order_number = $1',
    [externalOrderNumber],
  );
  return rows[0]!.id;
}

/** Archives all closed workflows; waits for those that are about to close. */
export async function archiveAll({ db, client }: Pick<Engine, 'db' | 'client'>): Promise<void> {
  const pool = db.poolFor('app_worker');
  const archiver = createArchiver({
    pool,
    histories: temporalHistories(client),
    objects: archiveObjects(pool, undefined),
    version: 'test',
    log: createLog('test', 'silent'),
  });
  let left: readonly string[] = [];
  await until(
    'everything that closed to be archived',
    async () => {
      await db.owner.query('update engine.archive_due set look_at = clock_timestamp()');
      await archiver.archiveClosed(100);
      const { rows } = await db.owner.query<{ id: string }>('select workflow_id as id from engine.archive_due');
      left = rows.map(({ id }) => id);
      return left.length === 0;
    },
    undefined,
    () => `, left: ${left.join(', ')}`,
  );
}

/** All findings of all checks, in the order of the report. */
export const findingsOf = (report: AuditReport): readonly Finding[] =>
  report.checks.flatMap(({ findings }) => findings.map(({ kind, where, detail }) => ({ kind, where, detail })));

export interface Discrepancy {
  readonly what: string;
  readonly tamper: string | ((db: pg.Client) => Promise<void>);
  readonly kinds: readonly FindingKind[];
  /** Part of the location of one of them, or of its detail. */
  readonly names: string;
}

/** The inbox row that is bound to this deposit, as SQL; and a posting of its own. */
export const callbackOf = (n: string) =>
  `(select bound_callback from engine.deposit where external_order_number = '${n}')`;
export const postingOf = (n: string, kind = 'credit') =>
  `(select id from ledger.transaction where workflow_id = 'deposit:${n}' and kind = '${kind}')`;

/** Without Temporal's copies, which would expose every rewritten history. */
export const ALONE: readonly string[] = ['--temporal', '0'];

/** Tampers with a copy of the book, and expects that the audit names and locates it. Returns all findings. */
export async function expectFound(
  book: Pick<Book, 'audit' | 'tampered'>,
  { tamper, kinds, names }: Discrepancy,
): Promise<readonly Finding[]> {
  const report = await book.audit(await book.tampered(tamper), ...ALONE);
  const findings = findingsOf(report);
  expect(report.unexplained).toBeGreaterThan(0);
  const found = findings.map(({ kind }) => kind);
  expect(found, JSON.stringify(findings)).toEqual(expect.arrayContaining([...kinds]));
  expect(JSON.stringify(findings)).toContain(names);
  return findings;
}

/** Rewrites a history as a superuser who knows the code would: its object, its row, and the chain after it. */
export async function rewriteHistory(
  db: pg.Client,
  workflowId: string,
  change: (text: string) => string,
): Promise<void> {
  const { rows } = await db.query<{ n: string; bytes: Buffer }>(
    `select a.n, o.bytes from engine.archive a join engine.archive_object o on o.hash = a.history_hash where a.workflow_id = $1`,
    [workflowId],
  );
  const text = change(gunzipSync(rows[0]!.bytes).toString('utf8'));
  await db.query(
    `insert into engine.archive_object (hash, kind, bytes) values ($1, 'history', $2) on conflict do nothing`,
    [sha256(text), gzipSync(text)],
  );
  await db.query('update engine.archive set history_hash = $2 where n = $1', [rows[0]!.n, sha256(text)]);
  await chainAnew(db);
}

export async function chainAnew(db: pg.Client): Promise<void> {
  await db.query(`do $$ declare a engine.archive; before bytea := sha256('engine.archive'); begin
    update engine.archive set prev = sha256(convert_to('p' || n, 'UTF8')), hash = sha256(convert_to('h' || n, 'UTF8'));
    for a in select * from engine.archive order by n loop
      a.prev := before;
      update engine.archive set prev = before, hash = sha256(before || convert_to(engine.archive_line(a), 'UTF8')) where n = a.n returning hash into before;
    end loop; end $$`);
}

/** The same of the books: every block over its postings as they are now. */
export async function sealAnew(db: pg.Client): Promise<void> {
  await db.query(`do $$ declare b ledger.block; before bytea; begin
    select hash into before from ledger.block where n = 0;
    update ledger.block set prev = sha256(convert_to('p' || n, 'UTF8')), hash = sha256(convert_to('h' || n, 'UTF8')) where n > 0;
    for b in select * from ledger.block where n > 0 order by n loop
      update ledger.block set prev = before, hash = sha256(before || int8send(n) || int8send((extract(epoch from at) * 1000000)::bigint) || sha256(convert_to(
             (select string_agg(ledger.line(t), E'\\n' order by t.id) from ledger.transaction t where t.id = any(b.members)), 'UTF8')))
       where n = b.n returning hash into before;
    end loop; end $$`);
}

/** Replaces a text in all payloads of a history; payloads are base64 in it. */
export const changePayload = (text: string, from: string | RegExp, to: string): string =>
  text.replace(/"data":"([A-Za-z0-9+/=]+)"/g, (whole, data: string) => {
    const plain = Buffer.from(data, 'base64').toString('utf8');
    const changed = plain.split(from).join(to);
    return changed === plain ? whole : `"data":"${Buffer.from(changed).toString('base64')}"`;
  });
