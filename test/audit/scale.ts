import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime } from '@temporalio/worker';
import pg from 'pg';
import { canonicalHistory, parseHistory, sha256 } from '../../archive/canonical.ts';
import { closedRun } from '../../archive/run.ts';
import { audit } from '../../audit/coordinator.ts';
import { replay } from '../../audit/replay.ts';
import { parseCommand } from '../../audit/scope.ts';
import { migrate } from '../../database/migrate.ts';
import { createPool } from '../../database/pool.ts';
import { creditAll } from '../../ledger/credit.ts';
import { startPostgres } from '../../local/postgres.ts';
import { contentHash } from '../../mtpay/callback.ts';
import { workflowSource } from '../../worker/workflow-source.ts';
import { order as buildOrder, paid, settings } from '../support/builders.ts';

/**
 * How fast an audit is, and that its memory does not grow: `node --import tsx test/audit/scale.ts --count 100000`. Makes
 * its own Postgres with deposits of the recorded shape, each with its own ids and amounts, and replays empty workflows
 * between the rounds for comparison.
 */
Runtime.install({ logger: new DefaultLogger('ERROR') });
const { values } = parseArgs({ options: { count: { type: 'string', default: '10000' } } });
const COUNT = Number(values.count);
const BATCH = 500;

const folder = await mkdtemp(join(tmpdir(), 'deposit-scale-'));

async function main(url: string): Promise<void> {
  const owner = new pg.Client({ connectionString: url });
  owner.on('error', () => undefined);
  await owner.connect();
  await migrate(owner);
  const { workflowBundle, buildId } = await workflowSource({}, false);
  await owner.query(`insert into engine.archive_object (hash, kind, bytes) values ($1, 'bundle', $2)`, [
    sha256(workflowBundle.code),
    gzipSync(workflowBundle.code),
  ]);
  const made = performance.now();
  await makeBook(owner, url, buildId);
  console.log(`${COUNT} deposits made in ${seconds(made)} s`);

  const one = await timeAudit(url, workflowBundle.code, 1, Math.min(COUNT, 5_000));
  const empty = await timeEmpty(workflowBundle.code);
  const again = await timeAudit(url, workflowBundle.code, 1, Math.min(COUNT, 5_000));
  const two = await timeAudit(url, workflowBundle.code, 2, Math.min(COUNT, 5_000));
  console.log(`one process ${one} and ${again} histories/s, two ${two}; empty workflows ${empty}/s`);
  console.log(
    `ratio to empty workflows ${((one + again) / 2 / empty).toFixed(2)}; two processes ${(two / ((one + again) / 2)).toFixed(2)} x one`,
  );
  const whole = performance.now();
  await timeAudit(url, workflowBundle.code, availableParallelism(), COUNT, true);
  console.log(`the whole book of ${COUNT}, tables included, in ${seconds(whole)} s`);
  await owner.end();
}

const seconds = (since: number) => Math.round((performance.now() - since) / 100) / 10;

/** Histories per second; `sample` of them. */
async function timeAudit(
  url: string,
  code: string,
  processes: number,
  sample: number,
  memory = false,
): Promise<number> {
  const connection = Connection.lazy({ address: '127.0.0.1:1' });
  const samples: number[] = [];
  const started = performance.now();
  let replayed = Number.NaN;
  const { report } = await audit(
    {
      database: { url, setRole: true },
      client: new Client({ connection }),
      dataConverter: {},
      archiveDirectory: undefined,
      code,
      codeVersion: 'scale',
      exceptions: new Map(),
      processes,
      tell: (line) => {
        const rate = /, (\d+)\/s/.exec(line)?.[1];
        if (rate !== undefined) replayed = Number(rate);
        if (memory && line.startsWith('replayed')) samples.push(residentMb());
      },
    },
    { ...parseCommand(sample < COUNT ? ['--sample', String(sample)] : []), out: join(folder, 'reports'), fresh: true },
  );
  if (report.unexplained > 0)
    throw new Error(JSON.stringify(report.checks.flatMap((check) => check.findings).slice(0, 3)));
  if (memory) {
    const [early, late] = [samples[Math.floor(samples.length / 5)], samples.at(-2) ?? samples.at(-1)];
    console.log(
      `resident memory of all its processes: ${early} MB after a fifth, ${late} MB at the end; ${seconds(started)} s`,
    );
  }
  await connection.close();
  return replayed;
}

/** Of this process and its children. */
function residentMb(): number {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,rss='], { encoding: 'utf8' }).trim().split('\n');
  const sizes = rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number, number]);
  const mine = sizes.filter(([pid, parent]) => pid === process.pid || parent === process.pid);
  return Math.round(mine.reduce((sum, [, , kb]) => sum + kb, 0) / 1024);
}

/** What the replayer itself can do here: a workflow that does nothing but wait for one signal. */
async function timeEmpty(_code: string): Promise<number> {
  const path = join(folder, 'empty.ts');
  await writeFile(path, `export async function deposit() {}\n`);
  const { code } = await bundleWorkflowCode({ workflowsPath: path, logger: new DefaultLogger('ERROR') });
  const template = JSON.parse(await readFile(new URL('../histories/v2/credited.json', import.meta.url), 'utf8')) as {
    events: Record<string, unknown>[];
  };
  const [started, scheduled, task, completed] = template.events;
  const last = {
    ...template.events.at(-1)!,
    eventId: '5',
    workflowExecutionCompletedEventAttributes: { workflowTaskCompletedEventId: '4' },
  };
  const history = parseHistory(JSON.stringify({ events: [started, scheduled, task, completed, last] }));
  const many = 2_000;
  async function* all() {
    for (let i = 0; i < many; i += 1) yield { workflowId: `empty:${i}`, history };
  }
  const start = performance.now();
  for await (const { difference } of replay(code, all())) if (difference !== null) throw new Error(difference);
  return Math.round((many / (performance.now() - start)) * 1_000);
}

async function makeBook(owner: pg.Client, url: string, buildId: string): Promise<void> {
  const worker = createPool({ url, role: 'app_worker', applicationName: 'scale', max: 2 });
  const shape = await readFile(new URL('../histories/v2/credited.json', import.meta.url), 'utf8');
  for (let made = 0; made < COUNT; made += BATCH) {
    await makeBatch(owner, worker, shape, buildId, made, Math.min(BATCH, COUNT - made));
  }
  await owner.query('delete from engine.archive_due');
  await owner.query('analyze');
  await worker.end();
}

async function makeBatch(
  owner: pg.Client,
  worker: pg.Pool,
  shape: string,
  buildId: string,
  from: number,
  count: number,
) {
  const placedAt = new Date();
  const expiresAt = new Date(placedAt.getTime() + 30 * 60_000).toISOString();
  const items = Array.from({ length: count }, (_, i) => {
    const mtcAmount = String(1 + ((from + i) % 9_000));
    const order = buildOrder({ wallet: `w-${(from + i) % 5_000}`, mtcAmount });
    const data = paid(order, { transactionAmount: mtcAmount, paymentPrice: String(Number(mtcAmount) * 7) });
    return { order, data };
  });
  await owner.query(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, placed_at, expires_at)
     select d->>'externalOrderNumber', d->>'wallet', 'MtcAmount', (d->>'mtcAmount')::numeric, 'CNY', 'en', sha256('x'), $2, 'AWAITING_PAYMENT', $3, $4
       from jsonb_array_elements($1::jsonb) d`,
    [JSON.stringify(items.map(({ order }) => order)), settings(), placedAt, expiresAt],
  );
  const callbacks = items.map(({ data }, i) => ({
    data,
    hash: contentHash(data).toString('hex'),
    stamp: 1_700_000_000_000 + from + i,
    raw: `{"signature":"[signature]","timestamp":${1_700_000_000_000 + from + i},"data":${JSON.stringify(data).replace(/"(transactionAmount|paymentPrice)":"([\d.]+)"/g, '"$1":$2')}}`,
  }));
  const { rows } = await owner.query<{ n: string; id: string; at: Date }>(
    `with c as (
       insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked)
       select c->'data'->>'externalOrderNumber', c->'data'->>'externalOrderNumber', c->'data'->>'transactionCode', decode(c->>'hash', 'hex'), c->'data', convert_to(c->>'raw', 'UTF8'), 'first', true
         from jsonb_array_elements($1::jsonb) c returning external_order_number as n, id, received_at as at),
     s as (insert into engine.callback_stamp select 'key', (c->>'stamp')::bigint, c->'data'->>'externalOrderNumber', decode(c->>'hash', 'hex') from jsonb_array_elements($1::jsonb) c)
     select * from c`,
    [JSON.stringify(callbacks)],
  );
  const inbox = new Map(rows.map((row) => [row.n, row]));
  await owner.query(
    `update engine.deposit d set bound_callback = c.id from engine.callback c where c.deposit = d.external_order_number and d.external_order_number = any($1)`,
    [rows.map(({ n }) => n)],
  );
  const answers = await creditAll(
    worker,
    items.map(({ order, data }) => ({
      inboxId: inbox.get(order.externalOrderNumber)!.id,
      deposit: order.externalOrderNumber,
      wallet: order.wallet,
      transactionCode: data.transactionCode,
      amount: data.transactionAmount,
      currencyCode: data.currencyCode,
      paymentPrice: data.paymentPrice,
      late: false,
      workflowId: `deposit:${order.externalOrderNumber}`,
    })),
  );
  const archived = items.map(({ order, data }, i) => {
    const callback = inbox.get(order.externalOrderNumber)!;
    const run = crypto.randomUUID();
    const text = historyOf(shape, buildId, run, {
      externalOrderNumber: order.externalOrderNumber,
      wallet: order.wallet,
      mtcAmount: order.mtcAmount!,
      inboxId: callback.id,
      transactionCode: data.transactionCode,
      transactionAmount: data.transactionAmount,
      paymentPrice: data.paymentPrice,
      receivedAt: callback.at.toISOString(),
      postingId: answers[i]!.postingId!,
      expiresAt,
    });
    const history = parseHistory(text);
    const kept = canonicalHistory(history);
    const closed = closedRun(history)!;
    return { ...closed, ...kept, workflowId: `deposit:${order.externalOrderNumber}`, run };
  });
  await owner.query(
    `insert into engine.archive_object (hash, kind, bytes) select h, 'history', b from unnest($1::bytea[], $2::bytea[]) as t(h, b) on conflict do nothing`,
    [archived.map(({ hash }) => hash), archived.map(({ text }) => gzipSync(text, { level: 1 }))],
  );
  await owner.query(
    `select engine.append_archive(a->>'workflowId', a->>'run', 'deposit', a->>'status', timestamptz 'epoch' + (a->>'closed')::bigint * interval '1 microsecond', (a->>'events')::int,
            decode(a->>'hash', 'hex'), decode(a->>'bundle', 'hex'), a->>'sdk', 'scale') from jsonb_array_elements($1::jsonb) a`,
    [
      JSON.stringify(
        archived.map((one) => ({
          workflowId: one.workflowId,
          run: one.run,
          status: one.status,
          closed: one.closedAtUs.toString(),
          events: one.events,
          hash: one.hash.toString('hex'),
          bundle: one.bundleHash?.toString('hex'),
          sdk: one.sdk,
        })),
      ),
    ],
  );
}

/** The recorded history with other ids and amounts, as if it had been this deposit's. */
function historyOf(shape: string, buildId: string, run: string, facts: Readonly<Record<string, string>>): string {
  const summary = `credit ${facts['transactionCode']}`;
  const change = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(change);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        name === 'data' && typeof item === 'string' ? payload(item) : change(item),
      ]),
    );
  };
  const payload = (data: string): string => {
    let plain = Buffer.from(data, 'base64').toString('utf8');
    for (const [name, value] of Object.entries(facts))
      plain = plain.replace(new RegExp(`"${name}":"[^"]*"`), `"${name}":"${value}"`);
    plain = plain.replace(/^"credit AT[0-9A-F]+"$/, `"${summary}"`);
    return Buffer.from(plain).toString('base64');
  };
  const history = change(JSON.parse(shape)) as {
    events: Record<string, { workflowId?: string; originalExecutionRunId?: string }>[];
  };
  const started = history.events[0]!['workflowExecutionStartedEventAttributes']!;
  started.workflowId = `deposit:${facts['externalOrderNumber']}`;
  started.originalExecutionRunId = run;
  return JSON.stringify(history).replaceAll(/@temporalio\/worker@1\.24\.0\+[0-9a-f]{64}/g, buildId);
}

const server = await startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true });
try {
  await main(`postgres://postgres@127.0.0.1:${server.port}/postgres`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
