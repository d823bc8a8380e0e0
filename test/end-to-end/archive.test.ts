import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { archivedRuns } from '../../archive/chain.ts';
import { loadDataConverter } from '../../config/temporal.ts';
import { root } from '../../local/servers/paths.ts';
import { ensureArchiveSchedule } from '../../worker/schedule.ts';
import { arrives, decideTogether, opened, operator, placed } from '../api/decisions.ts';
import { type Engine, startEngine } from '../support/engine.ts';
import { SEAL_ENV } from '../support/seals.ts';
import { until } from '../support/until.ts';
import { depositWorkflowId } from '../../domain/ids.ts';
import { startOf } from '../support/programs.ts';

/** The archive of a whole engine: what closes is there a moment later, brought by the schedule. */
const directory = await mkdtemp(join(tmpdir(), 'deposit-archive-'));
afterAll(() => rm(directory, { recursive: true, force: true }));
const EVERY_MS = 1_000;

const archived = (engine: Engine, workflowId: string) =>
  until(`${workflowId} to be archived`, async () => {
    const rows = await archivedRuns(engine.db.owner, workflowId);
    return rows.length > 0 && rows;
  });
async function credited(engine: Engine): Promise<string> {
  const order = await placed(engine);
  await engine.pay(order.externalOrderNumber);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  return depositWorkflowId(order.externalOrderNumber);
}
async function chainHolds(engine: Engine): Promise<void> {
  const { rows } = await engine.db.poolFor('auditor').query<{ n: string; ok: boolean; again: boolean }>(
    `select v.n, v.ok, a.hash = sha256(a.prev || convert_to(engine.archive_line(a), 'UTF8')) as again
       from engine.verify_archive() v join engine.archive a using (n) order by n`,
  );
  expect(rows.map(({ n }) => Number(n))).toEqual(rows.map((_row, at) => at + 1));
  expect(rows.filter(({ ok, again }) => !ok || !again)).toEqual([]);
}
/** Returns the unpacked bytes from the database, read without the engine's code. */
async function textIn(engine: Engine, hash: Buffer): Promise<string> {
  const { rows } = await engine.db.owner.query<{ bytes: Buffer }>(
    'select bytes from engine.archive_object where hash = $1',
    [hash],
  );
  const text = gunzipSync(rows[0]!.bytes).toString();
  expect(createHash('sha256').update(text).digest().equals(hash)).toBe(true);
  return text;
}
const runsOfArchive = async (engine: Engine) => {
  const closed: string[] = [];
  for await (const run of engine.client.workflow.list({
    query: `WorkflowType = 'archive' and ExecutionStatus = 'Completed'`,
  }))
    closed.push(run.runId);
  return closed.length;
};

describe('in the database', async () => {
  const engine = await startEngine();
  const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
  await ensureArchiveSchedule(engine.client, EVERY_MS);

  test('a credited deposit and a decided case are archived, once, and replay on the archived bundle', async () => {
    const paid = await credited(engine);
    const order = await placed(engine);
    await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    await arrives(engine, order);
    const { id, newestCredit: beside } = await opened(alice, order, 'SECOND_CODE', 'parked');
    await decideTogether(alice, bob, id, { decision: 'credit', beside });
    for (const workflowId of [paid, depositWorkflowId(order.externalOrderNumber), id as string]) {
      const [row, ...more] = await archived(engine, workflowId);
      expect(more).toEqual([]);
      expect(row).toMatchObject({ status: 'COMPLETED', sdk: '@temporalio/worker@1.24.0' });
      const text = await textIn(engine, row!.historyHash);
      expect(text).toContain(`"buildId":"@temporalio/worker@1.24.0+${row!.bundleHash!.toString('hex')}"`);
      const code = await textIn(engine, row!.bundleHash!);
      await Worker.runReplayHistory({ workflowBundle: { code } }, historyFromJSON(JSON.parse(text)), workflowId);
    }
    await chainHolds(engine);
  });

  test('the command that audits ends by itself, also where it has nothing to replay', async () => {
    const out = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
    onTestFinished(() => rm(out, { recursive: true, force: true }));
    const command = spawn(process.execPath, [...startOf('local/audit.ts'), '--since', '2999-01-01', '--out', out], {
      cwd: root,
      env: {
        ...process.env,
        DATABASE_URL: engine.db.url,
        TEMPORAL_ADDRESS: engine.temporal.address,
        TEMPORAL_NAMESPACE: engine.temporal.namespace,
        AUDIT_SIGNING_KEY: randomBytes(32).toString('base64'),
        ...SEAL_ENV,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void command.kill('SIGKILL'));
    const said: string[] = [];
    for (const stream of [command.stdout, command.stderr]) stream.on('data', (data: Buffer) => said.push(String(data)));
    const [code] = (await once(command, 'close')) as [number | null];
    expect(code, said.join('')).toBe(0);
    expect(said.join('')).toMatch(/nothing is unexplained[^]*report-.*\.html/);
  });

  test('the bundle is stored once, whichever workers start', async () => {
    await engine.stopWorker();
    await engine.startWorker();
    await archived(engine, await credited(engine));
    const { rows } = await engine.db.owner.query(
      `select encode(hash, 'hex') as hash from engine.archive_object where kind = 'bundle'`,
    );
    expect(rows).toHaveLength(1);
  });

  test('what closed while no worker could archive it is caught up, and later runs of the schedule add nothing', async () => {
    const schedule = engine.client.schedule.getHandle('archive');
    await schedule.pause();
    const closed = await Promise.all(Array.from({ length: 6 }, () => credited(engine)));
    await engine.stopWorker();
    await schedule.unpause();
    await engine.startWorker();
    for (const workflowId of closed) await archived(engine, workflowId);
    const before = await runsOfArchive(engine);
    await until('two more runs', async () => (await runsOfArchive(engine)) >= before + 2);
    for (const workflowId of closed) expect(await archivedRuns(engine.db.owner, workflowId)).toHaveLength(1);
    const { rows } = await engine.db.poolFor('auditor').query('select * from engine.unarchived');
    expect(rows).toEqual([]);
    await chainHolds(engine);
  });
});

describe('in a directory, with the payload codec', async () => {
  const key = randomBytes(32).toString('base64url');
  const engine = await startEngine({ env: { TEMPORAL_CODEC_KEY: key, ARCHIVE_DIRECTORY: directory } });
  await ensureArchiveSchedule(engine.client, EVERY_MS);

  test('histories are kept as Temporal holds them, encrypted, and replay with the key and the archived bundle', async () => {
    const workflowId = await credited(engine);
    const [row] = await archived(engine, workflowId);
    const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.gz'));
    const texts = new Map<string, string>();
    for (const name of names) {
      const text = gunzipSync(await readFile(join(directory, name))).toString();
      const hash = createHash('sha256').update(text).digest('hex');
      expect(name).toBe(`${hash.slice(0, 2)}/${hash}.gz`);
      texts.set(hash, text);
    }
    const text = texts.get(row!.historyHash.toString('hex'))!;
    expect(text).toContain(Buffer.from('binary/encrypted').toString('base64'));
    expect(text).not.toContain(Buffer.from('"wallet"').toString('base64').slice(0, 8));
    const code = texts.get(row!.bundleHash!.toString('hex'))!;
    await Worker.runReplayHistory(
      { workflowBundle: { code }, dataConverter: loadDataConverter({ TEMPORAL_CODEC_KEY: key }) },
      historyFromJSON(JSON.parse(text)),
      workflowId,
    );
    const { rows } = await engine.db.owner.query('select from engine.archive_object');
    expect(rows).toEqual([]);
    await chainHolds(engine);
  });
});
