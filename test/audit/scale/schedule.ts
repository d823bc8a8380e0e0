import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { openFiles, writeReport } from '../../../audit/report/files.ts';
import { describeBooks } from '../../../audit/report/schedule.ts';
import { parseCommand } from '../../../audit/audit-arguments.ts';
import { openSession } from '../../../audit/tables/session.ts';
import { verifyReport } from '../../../audit/report/verify.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { cloneTemplate } from '../../support/database.ts';
import { migrateTemplate } from '../../support/template.ts';
import { makeCredits } from '../credits.ts';
import { finish, newSigner } from '../report/sample.ts';

/**
 * Measures time and memory of making the schedule and of verifying its files: `node --import tsx
 * test/audit/scale/schedule.ts --count 100000`. Starts a PostgreSQL of its own and ends it.
 */
const { values } = parseArgs({ options: { count: { type: 'string', default: '10000' } } });
const folder = await mkdtemp(join(tmpdir(), 'deposit-schedule-'));
const postgres = await startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true });
const seconds = (since: number) => (performance.now() - since) / 1_000;
/** This many are credited by the ledger; the others are copies of them. */
const ONE_BOOK = 1_000;
const mb = (bytes: number) => Math.round(bytes / 1024 / 1024);
try {
  await migrateTemplate(postgres.url);
  const { db, drop } = await cloneTemplate(postgres.url);
  await makeCredits(db.owner, db.poolFor('app_worker'), ONE_BOOK);
  await multiply(db.url, Math.ceil(Number(values.count) / ONE_BOOK));
  const session = await openSession({ url: db.urlFor('auditor') }, null);
  const builder = new ReportBuilder();
  const open = openFiles(folder);
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50);
  let since = performance.now();
  const books = await describeBooks(session, builder, parseCommand(['--list', '100', '--by', 'amount']), open);
  const took = seconds(since);
  clearInterval(watch);
  const { lines, agrees } = books!.schedule;
  console.log(`schedule: ${lines} lines in ${took.toFixed(1)} s, ${Math.round(lines / took)}/s; agrees: ${agrees}`);
  console.log(`  memory of the process: ${mb(before)} MB before, at most ${mb(most)} MB`);
  const { json } = writeReport(finish(builder, { books }), newSigner(), folder, open);
  open.drop();
  since = performance.now();
  const exit = await verifyReport(json, { pinned: null, say: () => undefined });
  console.log(`verified in ${seconds(since).toFixed(1)} s, exit ${exit}`);
  await session.end();
  await drop();
} finally {
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}

/** Copies the rows of the book, with ids, names and times of their own, until there are as many books. */
async function multiply(url: string, books: number): Promise<void> {
  const owner = new pg.Client({ connectionString: url });
  await owner.connect();
  await owner.query('set session_replication_role = replica');
  const copies: Readonly<Record<string, string>> = {
    'engine.deposit': `external_order_number = external_order_number || '-' || k, bound_callback = bound_callback + o, posting_id = posting_id + o`,
    'engine.callback': `id = id + o, uid = gen_random_uuid(), external_order_number = external_order_number || '-' || k, deposit = deposit || '-' || k, transaction_code = transaction_code || '-' || k`,
    'engine.archive': `n = n + o, workflow_id = workflow_id || '-' || k, run_id = run_id || '-' || k, prev = sha256(prev || int8send(k)), hash = sha256(hash || int8send(k))`,
    'ledger.transaction': `id = id + o, key = key || '-' || k, deposit = deposit || '-' || k, provider_code = provider_code || '-' || k, origin = origin + o, workflow_id = workflow_id || '-' || k`,
    'ledger.lineage': 'transaction_id = transaction_id + o, root = root + o',
    'ledger.entry': 'transaction_id = transaction_id + o',
    'ledger.block': `n = n + o, prev = sha256(prev || int8send(k)), hash = sha256(hash || int8send(k)), at = at + k * interval '1 hour', members = array(select m + o from unnest(members) m order by m)`,
  };
  for (const [table, set] of Object.entries(copies)) {
    const copy = table.replace('.', '_');
    await owner.query(
      `create temp table ${copy} as select * from ${table}${table === 'ledger.block' ? ' where n > 0' : ''}`,
    );
    for (let k = 1; k < books; k += 1) {
      await owner.query(`create temp table next_one as table ${copy}`);
      const now = set.replaceAll(/\bo\b/g, String(k * 100_000)).replaceAll(/\bk\b/g, `${k}::bigint`);
      await owner.query(`update next_one set ${now}`);
      await owner.query(`insert into ${table} overriding system value select * from next_one`);
      await owner.query('drop table next_one');
    }
  }
  await owner.query(`update ledger.balance set amount = amount * ${books}, entries = entries * ${books}`);
  await owner.query('analyze');
  await owner.end();
}
