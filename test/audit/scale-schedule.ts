import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { ReportBuilder } from '../../audit/builder.ts';
import { openFiles, writeReport } from '../../audit/files.ts';
import { describeBooks } from '../../audit/schedule.ts';
import { parseCommand } from '../../audit/scope.ts';
import { openSession } from '../../audit/session.ts';
import { verifyReport } from '../../audit/verify.ts';
import { startPostgres } from '../../local/postgres.ts';
import { cloneTemplate } from '../support/database.ts';
import { migrateTemplate } from '../support/template.ts';
import { makeCredits } from './credits.ts';
import { finish, newSigner } from './sample.ts';

/**
 * How long the schedule takes and how much memory, and the verifying of its files:
 * `node --import tsx test/audit/scale-schedule.ts --count 100000`. Makes a PostgreSQL of its own and ends it.
 */
const { values } = parseArgs({ options: { count: { type: 'string', default: '10000' } } });
const folder = await mkdtemp(join(tmpdir(), 'deposit-schedule-'));
const postgres = await startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true });
const seconds = (since: number) => (performance.now() - since) / 1_000;
const mb = (bytes: number) => Math.round(bytes / 1024 / 1024);
try {
  await migrateTemplate(postgres.url);
  const { db, drop } = await cloneTemplate(postgres.url);
  let since = performance.now();
  await makeCredits(db.owner, db.poolFor('app_worker'), Number(values.count));
  console.log(`made ${values.count} credits in ${seconds(since).toFixed(1)} s`);
  const owner = new pg.Client({ connectionString: db.url });
  await owner.connect();
  await owner.query('analyze');
  await owner.end();
  const session = await openSession({ url: db.urlFor('auditor') }, null);
  const builder = new ReportBuilder();
  const open = openFiles(folder);
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50);
  since = performance.now();
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
