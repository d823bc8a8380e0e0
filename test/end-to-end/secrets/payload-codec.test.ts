import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type WorkflowHandle } from '@temporalio/client';
import { createArchiver } from '../../../activities/archiving.ts';
import { archivedRuns } from '../../../archive/chain.ts';
import { archiveObjects } from '../../../archive/objects.ts';
import { NO_EXCEPTIONS } from '../../../audit/exceptions.ts';
import { audit } from '../../../audit/run/coordinator.ts';
import { parseCommand } from '../../../audit/audit-arguments.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { createLog } from '../../../telemetry/log.ts';
import { payloadKeyId } from '../../../encoding/payload-codec.ts';
import { loadDataConverter } from '../../../config/temporal.ts';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { expect, onTestFinished, test } from 'vitest';
import { temporalHistories } from '../../../worker/temporal-histories.ts';
import { workflowSource } from '../../../worker/workflow-source.ts';
import { required } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { sealTrust } from '../../support/seals.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

/** The whole engine with everything that enters Temporal encrypted. */
const key = randomBytes(32).toString('base64url');
const engine = await startEngine({ env: { TEMPORAL_CODEC_KEY: key } });
const encrypting = engine.client;
const plain = new Client({ connection: engine.client.connection, namespace: engine.temporal.namespace });

const exported = async (handle: WorkflowHandle) => historyToJSON(await handle.fetchHistory());
const handleOf = (client: Client, order: string) => client.workflow.getHandle(depositWorkflowId(order));

interface ExportedPayload {
  readonly metadata: Readonly<Record<string, string>>;
  readonly data?: string;
}

/** The payloads of an exported history, without search attributes: Temporal indexes those and so has to read them. */
function payloadsOf(value: unknown, name = ''): ExportedPayload[] {
  if (typeof value !== 'object' || value === null || name === 'searchAttributes') return [];
  if ((value as Partial<ExportedPayload>).metadata?.['encoding'] !== undefined) return [value as ExportedPayload];
  return Object.entries(value).flatMap(([key, item]) => payloadsOf(item, key));
}
const textOf = (base64 = '') => Buffer.from(base64, 'base64').toString('latin1');
const isEncrypted = ({ metadata }: ExportedPayload) => textOf(metadata['encoding']) === 'binary/encrypted';

/** The SDK's native core itself records this of a local activity, below the codec: its name and its times. */
const NOTES = ['activity_id', 'activity_type', 'attempt', 'backoff', 'complete_time', 'original_schedule_time', 'seq'];
const isNote = ({ data }: ExportedPayload) =>
  textOf(data).startsWith('{') &&
  Object.keys(JSON.parse(textOf(data)) as object)
    .toSorted()
    .join() === NOTES.join();

/** The texts that can be read without the key. */
const clearTexts = (json: string) =>
  payloadsOf(JSON.parse(json))
    .filter((payload) => !isEncrypted(payload) && !isNote(payload))
    .map(({ data }) => textOf(data));

async function credited(change: Record<string, unknown> = {}): Promise<string> {
  const created = await engine.create(change);
  expect(created.status).toBe(201);
  const { externalOrderNumber } = created.body;
  await engine.pay(externalOrderNumber);
  await engine.untilState(externalOrderNumber, 'CREDITED');
  const handle = handleOf(encrypting, externalOrderNumber);
  await until('the workflow to end', async () => (await handle.describe()).status.name === 'COMPLETED');
  return externalOrderNumber;
}

test('T30: a deposit is credited, and its exported history holds no payload in clear', async () => {
  const order = await credited({ wallet: 'wallet-secret' });
  const json = await exported(handleOf(encrypting, order));
  expect(clearTexts(json)).toEqual([]);
  const payloads = payloadsOf(JSON.parse(json));
  expect(payloads.filter(isEncrypted).length).toBeGreaterThan(5);
  const raw = payloads.map(({ data }) => textOf(data)).join();
  for (const word of ['wallet-secret', 'paymentWindowMs', 'transactionCode', 'payment window'])
    expect(raw).not.toContain(word);
  const result = (await handleOf(encrypting, order).result()) as { state: string };
  expect(result.state).toBe('CREDITED');
});

test('its history replays with the key, and with the previous key in second place', async () => {
  const history = historyFromJSON(JSON.parse(await exported(handleOf(encrypting, await credited()))));
  const replay = (env: Record<string, string>) =>
    Worker.runReplayHistory(
      { workflowBundle: { codePath: required('TEST_WORKFLOW_BUNDLE') }, dataConverter: loadDataConverter(env) },
      history,
    );
  await replay({ TEMPORAL_CODEC_KEY: key });
  const newer = randomBytes(32).toString('base64url');
  await replay({ TEMPORAL_CODEC_KEY: newer, TEMPORAL_CODEC_KEY_PREVIOUS: key });
  await expect(replay({ TEMPORAL_CODEC_KEY: newer })).rejects.toThrow();
});

test('its history is audited with the key; without it nothing is called proved', async () => {
  const archivedOrder = await credited();
  const openOrder = (await engine.create()).body.externalOrderNumber as string;
  const pool = engine.db.poolFor('app_worker');
  const archiver = createArchiver({
    pool,
    histories: temporalHistories(encrypting),
    objects: archiveObjects(pool, undefined),
    version: 'test',
    log: createLog('test', 'silent'),
  });
  await until('the deposit to be archived', async () => {
    await engine.db.owner.query('update engine.archive_due set look_at = clock_timestamp()');
    await archiver.archiveClosed(100);
    return (await archivedRuns(pool, depositWorkflowId(archivedOrder))).length > 0;
  });
  const out = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
  onTestFinished(() => rm(out, { recursive: true, force: true }));
  const { workflowBundle } = await workflowSource({ workflowBundle: required('TEST_WORKFLOW_BUNDLE') }, true);
  const auditWith = async (env: Record<string, string>, deposit: string) => {
    const { report } = await audit(
      {
        database: { url: engine.db.url },
        client: encrypting,
        dataConverter: loadDataConverter(env),
        archiveDirectory: undefined,
        code: workflowBundle.code,
        codeVersion: 'test',
        exceptions: NO_EXCEPTIONS,
        sealTrust: sealTrust(),
        processes: 1,
        tell: () => undefined,
      },
      { ...parseCommand(['--deposit', deposit]), out, fresh: true },
    );
    const found = report.checks.flatMap(({ findings }) => findings);
    return found.filter(({ where, detail }) => `${where} ${detail}`.includes(deposit)).map(({ kind }) => kind);
  };
  const newer = randomBytes(32).toString('base64url');
  for (const order of [archivedOrder, openOrder]) {
    expect(await auditWith({ TEMPORAL_CODEC_KEY: key }, order)).toEqual([]);
    expect(await auditWith({ TEMPORAL_CODEC_KEY: newer }, order)).toContain('not_readable');
    expect(await auditWith({}, order)).toContain('not_readable');
  }
});

test('texts of failures are encrypted as well: of an activity that failed for a while', async () => {
  const created = await engine.create();
  const { externalOrderNumber } = created.body;
  await engine.db.owner.query('revoke execute on function engine.credit(jsonb) from app_worker');
  try {
    await engine.pay(externalOrderNumber);
    const handle = handleOf(encrypting, externalOrderNumber);
    const pending = await until('the credit to fail as an activity of its own', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.find(({ lastFailure }) => (lastFailure ?? null) !== null)?.lastFailure;
    });
    expect(pending.message).toBe('Encoded failure');
    expect(pending.stackTrace ?? '').toBe('');
    expect(Buffer.from(pending.encodedAttributes!.metadata!['encoding']!).toString()).toBe('binary/encrypted');
    const [opened] = await loadDataConverter(engine.env).payloadCodecs![0]!.decode([pending.encodedAttributes!]);
    expect(Buffer.from(opened!.data!).toString()).toContain('permission denied for function credit');
  } finally {
    await engine.db.owner.query('grant execute on function engine.credit(jsonb) to app_worker');
  }
  await engine.untilState(externalOrderNumber, 'CREDITED');
});

/** A failure from within a workflow: at an unknown query, its message lists the known ones. */
const refusedQuery = (client: Client, order: string) =>
  handleOf(client, order)
    .query('nothing')
    .then(
      () => 'answered',
      (error: Error) => error.message,
    );

test('and those from within a workflow', async () => {
  const { externalOrderNumber } = (await engine.create()).body;
  expect(await refusedQuery(plain, externalOrderNumber)).toBe('Encoded failure');
});

test('a worker with another key fails the task and not the deposit, which goes on with the right one', async () => {
  const created = await engine.create();
  const { externalOrderNumber } = created.body;
  await engine.stopWorker();
  const right = { ...engine.env };
  Object.assign(engine.env, { TEMPORAL_CODEC_KEY: randomBytes(32).toString('base64url') });
  await engine.startWorker();
  await engine.pay(externalOrderNumber);
  const handle = handleOf(encrypting, externalOrderNumber);
  const failed = await until('a workflow task to fail', async () => {
    const { events } = await handle.fetchHistory();
    return events?.find((event) => (event.workflowTaskFailedEventAttributes ?? null) !== null);
  });
  expect((await handle.describe()).status.name).toBe('RUNNING');
  // Encrypted with the other key: a holder of that one reads which key is missing.
  expect(failed.workflowTaskFailedEventAttributes!.failure!.message).toBe('Encoded failure');
  const [told] = await loadDataConverter(engine.env).payloadCodecs![0]!.decode([
    failed.workflowTaskFailedEventAttributes!.failure!.encodedAttributes!,
  ]);
  const missing = payloadKeyId(new Secret(Buffer.from(key, 'base64url')));
  expect(Buffer.from(told!.data!).toString()).toContain(`encrypted with key ${missing}, which is not here`);
  await engine.stopWorker();
  Object.assign(engine.env, right);
  await engine.startWorker();
  await engine.untilState(externalOrderNumber, 'CREDITED');
});

test('a deposit from before the codec was switched on is finished by a worker that has it on', async () => {
  await engine.api.close();
  await engine.stopWorker();
  const { TEMPORAL_CODEC_KEY } = engine.env;
  Object.assign(engine.env, { TEMPORAL_CODEC_KEY: '' });
  engine.client = plain;
  await engine.startApi();
  await engine.startWorker();
  const created = await engine.create();
  expect(created.status).toBe(201);
  const { externalOrderNumber } = created.body;
  expect(await refusedQuery(plain, externalOrderNumber)).toContain('nothing');
  await engine.api.close();
  await engine.stopWorker();
  Object.assign(engine.env, { TEMPORAL_CODEC_KEY });
  engine.client = encrypting;
  await engine.startApi();
  await engine.startWorker();
  await engine.pay(externalOrderNumber);
  await engine.untilState(externalOrderNumber, 'CREDITED');
  const handle = handleOf(encrypting, externalOrderNumber);
  await until('the workflow to end', async () => (await handle.describe()).status.name === 'COMPLETED');
  const json = await exported(handle);
  // Its input and summary are as they were written; all later payloads are encrypted.
  expect(clearTexts(json).some((text) => text.includes('paymentWindowMs'))).toBe(true);
  expect(clearTexts(json).some((text) => text.includes('transactionCode'))).toBe(false);
  expect(payloadsOf(JSON.parse(json)).filter(isEncrypted).length).toBeGreaterThan(2);
  await Worker.runReplayHistory(
    { workflowBundle: { codePath: required('TEST_WORKFLOW_BUNDLE') }, dataConverter: loadDataConverter(engine.env) },
    historyFromJSON(JSON.parse(json)),
  );
  await engine.auditLedger();
});
