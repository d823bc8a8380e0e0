import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, describe, expect, test } from 'vitest';
import { loadDataConverter } from '../../../config/temporal.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { TASK_QUEUE } from '../../../workflows/messages.ts';
import { order, orderNumber, paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { findCanaries, type Source } from '../../support/canaries.ts';
import { type Answer, startEngine } from '../../support/engine.ts';
import { startPart } from '../../support/process.ts';
import { until } from '../../support/until.ts';
import { type Program, startOf } from '../../support/programs.ts';

/**
 * Names, signatures, tokens and keys pass through the engine, in processes of its own with the most verbose log, in
 * success and failure. Then all output and storage is searched for them.
 */

const secret = () => randomBytes(32).toString('base64url');
const canaries: Record<string, string> = {};
const answers: string[] = [];
const logs: Source[] = [];
let names = 0;

/** Returns a unique name. */
function newName(): string {
  names += 1;
  const name =
    names % 2 === 0
      ? `Nándor "Ñ" Zwieback-${randomBytes(4).toString('hex')}`
      : `欧阳 ${randomBytes(5).toString('hex')} 娜娜`;
  canaries[`the name of payer ${names}`] = name;
  return name;
}

interface Placement {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string>>;
}
/** All of the request, echoed in one text. */
const echo = ({ headers, body }: Placement) =>
  `${body['payerRealName']} ${headers['signature']} ${headers['access_key']} ${body['callbackUrl']} ${headers['signature']!.toLowerCase()}`;
const envelope = (change: Record<string, unknown>, data: unknown) =>
  JSON.stringify({ statusCode: 'SUCCESS', message: 'success', success: true, data, ...change });
const placedAt = (host: string, change: Record<string, unknown> = {}) =>
  envelope(
    {},
    { redirectUrl: `http://${host}/pay/1`, advertisementCode: 'AD1', currentTimestamp: Date.now(), ...change },
  );
const refused = (message: string, statusCode = 'PARAMETER_ERROR') =>
  envelope({ statusCode, message, success: false }, null);
const send = (response: ServerResponse, text: string, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(text);

/** The provider's behavior, by the wallet of the order, which never reaches the provider: see {@link ways}. */
const ways = new Map<string, (response: ServerResponse, sent: Placement) => void>();
const provider = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
    const headers = request.headers as Record<string, string>;
    canaries[`the signature of placement ${body['externalOrderNumber']}`] = headers['signature']!;
    ways.get(body['externalOrderNumber']!)!(response, { headers, body });
  });
});
await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
const host = `127.0.0.1:${(provider.address() as { port: number }).port}`;
afterAll(() => new Promise((resolve) => provider.close(resolve)));

const engine = await startEngine({
  worker: false,
  provider: `http://${host}`,
  env: { MTPAY_ACCESS_KEY: `access-${secret()}`, MTPAY_SECRET_KEY: `secret-${secret()}`, MTPAY_DEADLINE: '3s' },
});
for (const name of [
  'MTPAY_ACCESS_KEY',
  'MTPAY_SECRET_KEY',
  'CALLBACK_KEY',
  'PAYER_NAME_KEY',
  'FINGERPRINT_KEY',
  'INBOX_SEAL_KEY',
])
  canaries[name] = engine.env[name]!;
const apiKey = await createApiKey(engine.db.owner, {
  name: 'canary',
  scopes: ['deposits:create', 'deposits:read', 'audit:read'],
});
canaries['an API key'] = apiKey;
const codecKey = secret();
canaries['TEMPORAL_CODEC_KEY'] = codecKey;

/** Bodies of refusals are searched; the body of a success belongs to its caller. */
async function call(method: string, path: string, body?: unknown, options = {}): Promise<Answer> {
  const answer = await engine.call(method, path, body, { key: apiKey, ...options });
  if (answer.status >= 400) answers.push(`${answer.text}\n${JSON.stringify([...answer.headers])}`);
  return answer;
}

async function callback(url: string, raw: string | Uint8Array, headers = {}): Promise<number> {
  const signature = /"signature":"([0-9A-F]{64})"/i.exec(Buffer.from(raw).toString('utf8'))?.[1];
  if (signature !== undefined) canaries[`the signature of callback ${Object.keys(canaries).length}`] = signature;
  const answer = await engine.callback(url, raw, headers);
  answers.push(`${answer.text}\n${JSON.stringify([...answer.headers])}`);
  return answer.status;
}

/** An order that the provider treats in this way. */
async function create(way: (response: ServerResponse, sent: Placement) => void): Promise<Answer & { n: string }> {
  const n = orderNumber();
  ways.set(n, way);
  canaries[`the token of ${n}`] = callbackAddress(engine, n).split('/').at(-1)!;
  const body = engine.body({ externalOrderNumber: n, payerRealName: newName() });
  return { ...(await call('POST', '/v1/deposits', body)), n };
}

async function goodWay(): Promise<string> {
  const { status, n } = await create((response) => send(response, placedAt(host)));
  expect(status).toBe(201);
  expect(
    await callback(callbackAddress(engine, n), callbackBody(engine, paid(order({ externalOrderNumber: n })))),
  ).toBe(200);
  await engine.untilState(n, 'CREDITED');
  return n;
}

async function answersThatThrowEverythingBack(): Promise<void> {
  const statuses = [
    await create((response, sent) => send(response, refused(echo(sent)))),
    await create((response, sent) => send(response, refused(echo(sent), 'SIGNATURE_ERROR'))),
    await create((response, sent) => send(response, refused(JSON.stringify(sent)))),
    await create((response, sent) => send(response, envelope({}, { redirectUrl: 1, message: echo(sent) }))),
    await create((response, sent) => send(response, refused(echo(sent), echo(sent)))),
    await create((response, sent) => send(response, echo(sent), 500)),
    await create((response, sent) => send(response, `<html>${echo(sent)}`)),
    await create((response, sent) => send(response, placedAt(host, { advertisementCode: echo(sent).slice(0, 200) }))),
    await create((response, sent) => send(response, placedAt(`${sent.headers['signature']!.toLowerCase()}.example`))),
    await create((response, sent) =>
      response.writeHead(302, { location: `http://${host}/?${encodeURIComponent(echo(sent))}` }).end(),
    ),
    await create((response) => response.destroy()),
  ].map(({ status }) => status);
  expect(statuses).toEqual([422, 422, 422, 202, 202, 202, 202, 201, 202, 202, 202]);
}

async function requestsThatAreRefused(): Promise<void> {
  const payerRealName = newName();
  const good = engine.body({ payerRealName });
  await call('POST', '/v1/deposits', { ...good, mtcAmount: payerRealName });
  await call('POST', '/v1/deposits', { ...good, wallet: payerRealName, supportLanguage: payerRealName });
  await call('POST', '/v1/deposits', { ...good, payerRealName: `${payerRealName}\u0000` });
  await call('POST', '/v1/deposits', { ...good, payerRealName: [payerRealName] });
  await call('POST', '/v1/deposits', undefined, { raw: `${JSON.stringify(good).slice(0, -1)},"payerRealName":"x"}` });
  await call('POST', '/v1/deposits', undefined, { raw: JSON.stringify(good).slice(0, -3) });
  await call('POST', '/v1/deposits', undefined, {
    raw: 'x',
    headers: { 'content-type': payerRealName.replaceAll(/[^ -~]/g, 'x') },
  });
  await call('POST', '/v1/deposits', good, { key: null, headers: { authorization: `Basic ${apiKey}` } });
  await call('GET', `/v1/deposits/${encodeURIComponent(payerRealName)}`);
  await call('GET', `/v1/deposits/%E0%A4%A${apiKey}`);
  await call('GET', `/v1/deposits?cursor=${apiKey}`);
  await call('PUT', `/v1/deposits/${apiKey}`, good);
  await call('GET', `/${apiKey}`);
  expect(answers.length).toBeGreaterThan(12);
}

async function callbacksThatAreRefused(n: string): Promise<void> {
  const url = callbackAddress(engine, n);
  const good = callbackBody(engine, paid(order({ externalOrderNumber: n })), Date.now() - 1_000);
  const wrongToken = url.replace(/[^/]+$/, (token) => token.split('').toReversed().join(''));
  const statuses = [
    await callback(url, good.slice(0, -4)),
    await callback(url, `${good}${good}`),
    await callback(url, good.replace('"data"', '"data":{},"data"')),
    await callback(url, good.replace(/"timestamp":\d+/, '"timestamp":"x"')),
    await callback(url, good, { 'content-type': 'text/plain' }),
    await callback(wrongToken, good),
    await callback(`${url}/more`, good),
    await callback(url, good.replace(/"signature":"../, '"signature":"00')),
    await callback(url, callbackBody(engine, paid(order({ externalOrderNumber: n })), Date.now() + 3_600_000)),
    // Authentic, and no payment of this order: stored, and opened as reviews.
    await callback(
      url,
      callbackBody(engine, { ...paid(order({ externalOrderNumber: n })), transactionAmount: '-1' }, Date.now() - 2_000),
    ),
    await callback(url, good),
    await callback(
      callbackAddress(engine, 'o-nobody'),
      callbackBody(engine, paid(order({ externalOrderNumber: 'o-nobody' }))),
    ),
  ];
  expect(statuses).toEqual([400, 400, 400, 400, 415, 401, 404, 401, 401, 200, 200, 503]);
  canaries['the token of o-nobody'] = callbackAddress(engine, 'o-nobody').split('/').at(-1)!;
}

/** The database refuses rows and shows them whole in its messages and details, as PostgreSQL does at a constraint. */
async function databaseErrors(): Promise<void> {
  await engine.db.owner.query(`
    create function engine.refuse() returns trigger language plpgsql as
    $$ begin raise exception 'refused %', new using errcode = '23514', detail = new::text, hint = new::text; end $$;
    create trigger refuse before insert on engine.deposit for each row when (new.wallet = 'wallet-refused') execute function engine.refuse();
    create trigger refuse_callback before insert on engine.callback for each row when (new.transaction_code like 'REFUSED%') execute function engine.refuse();
    create trigger refuse_attempt before insert on engine.own_stamp for each row execute function engine.refuse();`);
  try {
    const answer = await call(
      'POST',
      '/v1/deposits',
      engine.body({ wallet: 'wallet-refused', payerRealName: newName() }),
    );
    expect(answer.status).toBe(500);
    const { n, status } = await create((response) => send(response, placedAt(host)));
    expect([202, 422]).toContain(status);
    const url = callbackAddress(engine, n);
    const data = paid(order({ externalOrderNumber: n }), { transactionCode: 'REFUSED1' });
    expect(await callback(url, callbackBody(engine, data))).toBe(500);
  } finally {
    await engine.db.owner.query('drop function engine.refuse() cascade');
  }
}

/** Ends with an error because of a wrong setting. Adds its output. */
async function crash(entry: Program, env: Record<string, string>): Promise<void> {
  const child = spawn(process.execPath, startOf(entry), {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...engine.env, LOG_LEVEL: 'debug', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const tooLong = setTimeout(() => child.kill('SIGKILL'), 40_000);
  // Not 'exit': then its last words may still be on their way.
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(tooLong);
  logs.push({ name: `the last words of ${entry} with another ${Object.keys(env).join()}`, text });
  expect({ code, said: text.length > 20 }, text).toEqual({ code: 1, said: true });
}

async function tables(): Promise<Source[]> {
  const { rows } = await engine.db.owner.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  expect(rows.length).toBeGreaterThan(14);
  return Promise.all(
    rows.map(async ({ name }) => {
      const found = await engine.db.owner.query<{ row: string }>(`select t::text as row from ${name} t`);
      return { name: `table ${name}`, text: found.rows.map(({ row }) => row).join('\n') };
    }),
  );
}

/**
 * Exported histories, and the server's description of each workflow: memo, search attributes, summaries, pending
 * failures.
 */
async function histories(): Promise<Source[]> {
  const sources: Source[] = [];
  for await (const { workflowId, runId } of engine.client.workflow.list()) {
    const handle = engine.client.workflow.getHandle(workflowId, runId);
    const { raw } = await handle.describe();
    const text = `${historyToJSON(await handle.fetchHistory())}\n${JSON.stringify(raw, (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value))}`;
    sources.push({ name: `workflow ${workflowId}`, text });
  }
  return sources;
}

const everything = async (): Promise<Source[]> => [
  ...logs,
  { name: 'answers that refuse', text: answers.join('\n') },
  ...(await tables()),
  ...(await histories()),
];

test('the engine goes good ways and bad ones, saying all it can', async () => {
  await engine.api.close();
  const api = await startPart('api', engine.env, undefined, 'debug');
  const worker = await startPart('worker', engine.env, undefined, 'debug');
  logs.push({
    name: 'log of the API',
    get text() {
      return api.log();
    },
  });
  logs.push({
    name: 'log of the worker',
    get text() {
      return worker.log();
    },
  });
  const credited = await goodWay();
  await answersThatThrowEverythingBack();
  await requestsThatAreRefused();
  await callbacksThatAreRefused(credited);
  await databaseErrors();
  await until('reviews to be opened', async () => {
    const { rows } = await engine.db.owner.query(`select from engine.callback where outcome like 'review:%'`);
    return rows.length >= 2;
  });
  await worker.kill('SIGTERM');
  await api.kill('SIGTERM');
  logs.splice(0, 2, { name: 'log of the API', text: api.log() }, { name: 'log of the worker', text: worker.log() });
});

test('and once more with the payload codec on', async () => {
  const env = { ...engine.env, TEMPORAL_CODEC_KEY: codecKey, TEMPORAL_CODEC_KEY_PREVIOUS: secret() };
  const codecEnv = { ...env, TEMPORAL_UI_URL: 'http://127.0.0.1:1', CODEC_LISTEN: '127.0.0.1:0' };
  canaries['TEMPORAL_CODEC_KEY_PREVIOUS'] = env.TEMPORAL_CODEC_KEY_PREVIOUS;
  const parts = [
    await startPart('api', env, undefined, 'debug'),
    await startPart('worker', env, undefined, 'debug'),
    await startPart('codec', codecEnv, undefined, 'debug'),
  ];
  await goodWay();
  const codecUrl = /"codec":"([^"]+)"/.exec(parts[2]!.log())![1]!;
  for (const body of ['x', JSON.stringify({ payloads: [{ metadata: { encoding: apiKey }, data: apiKey }] })]) {
    const answer = await fetch(`${codecUrl}/decode`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body,
    });
    if (answer.status >= 400) answers.push(await answer.text());
  }
  const login = await fetch(`${codecUrl}/session`, { method: 'POST', body: new URLSearchParams({ key: apiKey }) });
  answers.push(await login.text(), JSON.stringify([...login.headers]));
  for (const part of parts) await part.kill('SIGTERM');
  logs.push(...parts.map((part, at) => ({ name: `log ${at} with the codec on`, text: part.log() })));
});

test('and falls over wrong settings', async () => {
  const password = secret();
  canaries['a database password'] = password;
  const broken = `postgres://app:${password}@[bad:5432/x`;
  const falls: [Program, Record<string, string>][] = [
    ['api/main.ts', { CALLBACK_KEY: secret().slice(0, 20) }],
    ['api/main.ts', { TEMPORAL_CODEC_KEY: `${codecKey}!` }],
    ['api/main.ts', { DATABASE_URL_API: broken }],
    ['api/main.ts', { DATABASE_URL_API: `postgres://app:${password}@host:port/x` }],
    ['api/main.ts', { API_LISTEN: host }],
    ['api/codec/codec-main.ts', { TEMPORAL_CODEC_KEY: `${codecKey}!` }],
    ['worker/main.ts', { DATABASE_URL_WORKER: broken }],
    ['worker/main.ts', { MTPAY_BASE_URL: `https://user:${password}@[bad` }],
    ['worker/main.ts', { MTPAY_CA_FILE: '/nowhere' }],
    ['worker/migrate.ts', { DATABASE_URL_MIGRATOR: broken }],
    // Nothing listens there: the program gets as far as connecting.
    ['worker/migrate.ts', { DATABASE_URL_MIGRATOR: `postgres://app:${password}@127.0.0.1:1/x` }],
  ];
  for (let at = 0; at < falls.length; at += 3)
    await Promise.all(falls.slice(at, at + 3).map(([entry, env]) => crash(entry, env)));
});

describe('what is left behind', () => {
  test('T30: holds no name, signature, token or key, in any spelling', async () => {
    const sources = await everything();
    expect(Object.keys(canaries).length).toBeGreaterThan(40);
    expect(sources.filter(({ text }) => text.length > 100).length).toBeGreaterThan(30);
    expect(findCanaries(canaries, sources)).toEqual([]);
  });

  test('was looked at where it matters: the logs, answers, tables and histories say what happened', async () => {
    const sources = await everything();
    const text = (name: string) =>
      sources
        .filter((source) => source.name.includes(name))
        .map((source) => source.text)
        .join('\n');
    expect(text('log of the API')).toContain('request failed');
    expect(text('log of the worker')).toContain('"level":20');
    expect(text('log of the worker')).toContain('placement_unknown');
    expect(text('answers')).toContain('[payer]');
    expect(text('table engine.placement_attempt')).toContain('[hidden]');
    expect(text('table engine.callback')).toContain(Buffer.from('[signature]').toString('hex'));
    expect(text('workflow deposit:')).toContain('workflowExecutionStartedEventAttributes');
  });
});

describe('a canary that is planted', () => {
  const findsIn = async (sources: Promise<Source[]> | Source[], what: string, where: string) =>
    expect(findCanaries(canaries, await sources).join('\n')).toMatch(new RegExp(`${what} as .* in ${where}`));
  const name = () => canaries['the name of payer 1']!;

  test('in the log of a process is found', async () => {
    const hook = 'console.log(JSON.stringify({ level: 20, msg: process.env.CALLBACK_KEY }))';
    const worker = await startPart('worker', {
      ...engine.env,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}`,
    });
    await worker.kill('SIGTERM');
    await findsIn([{ name: 'a log', text: worker.log() }], 'CALLBACK_KEY', 'a log');
  });

  test.each([
    [
      'the data of an event',
      'event',
      `insert into engine.event (subject, sequence, type, epoch, data) values ('x', 1, 'deposit.placed', 1, jsonb_build_object('a', $1::text))`,
    ],
    ['bytes', 'own_stamp', `insert into engine.own_stamp (key_id, timestamp_ms) values ($1, 1)`],
    [
      'raw bytes',
      'callback',
      `insert into engine.callback (external_order_number, content_hash, raw, receipt, acked) values ('x', sha256('x'), convert_to($1, 'UTF8'), 'first', false)`,
    ],
  ])('in a table is found: %s', async (_, table, sql) => {
    const client = await engine.db.owner.connect();
    try {
      await client.query(sql, [name()]);
      await findsIn(tables(), 'the name of payer 1', `table engine.${table}`);
    } finally {
      client.release();
    }
  });

  test.each([
    ['its input', { args: ['NAME'] }],
    ['its memo', { memo: { payer: 'NAME' } }],
    ['its summary', { staticSummary: 'for NAME' }],
  ])('in a workflow is found: %s', async (what, given) => {
    const options = JSON.parse(JSON.stringify(given).replaceAll('NAME', JSON.stringify(name()).slice(1, -1))) as object;
    const workflowId = `planted-${what.replace(' ', '-')}`;
    await engine.client.workflow.start('nothing', { taskQueue: `${TASK_QUEUE}-nobody`, workflowId, ...options });
    await until('it to be listed', async () => (await histories()).some((source) => source.name.includes(workflowId)));
    await findsIn(histories(), 'the name of payer 1', `workflow ${workflowId}`);
  });

  test('in an encrypted workflow is found by nobody without the key', async () => {
    const client = new Client({
      connection: engine.client.connection,
      namespace: engine.temporal.namespace,
      dataConverter: loadDataConverter({ TEMPORAL_CODEC_KEY: codecKey }),
    });
    const handle = await client.workflow.start('nothing', {
      taskQueue: `${TASK_QUEUE}-nobody`,
      workflowId: 'encrypted',
      args: [name()],
      memo: { payer: name() },
      staticSummary: name(),
    });
    const { raw } = await handle.describe();
    const text = `${historyToJSON(await handle.fetchHistory())}\n${JSON.stringify(raw)}`;
    expect(findCanaries(canaries, [{ name: 'it', text }])).toEqual([]);
  });
});
