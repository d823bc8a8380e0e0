import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { startApi } from '../../../api/start.ts';
import { keyVariables, parseKeys } from '../../../config/keys/keys.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { loadApiConfig } from '../../../config/settings/api.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { callbackUrl, capabilityKey } from '../../../providers/callback-address.ts';
import { keyId, nameKeys } from '../../../providers/key-names.ts';
import { sign } from '../../../providers/mtpay/signature.ts';
import {
  attempts,
  expectRefusal,
  type MemoryLog,
  memoryLog,
  postings,
  raised,
  seenByProvider,
} from '../../api/evidence.ts';
import { ask, expectAck, loggedApi, loggedWorker, QUICK_RELAY } from '../../api/parts.ts';
import { order, paid } from '../../support/builders.ts';
import { callbackBody } from '../../support/messages/callbacks.ts';
import { type KeyFiles, keyFiles } from '../../support/messages/key-files.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/**
 * Two API processes, a worker and the sandbox. Each of ours has a key directory of its own: the test rotates them one
 * by one, in any order. Deposits are created and paid all the time.
 */

const RINGS = ['mtpay', 'callback', 'payerName', 'fingerprint'] as const;
const VARIABLES = keyVariables(RINGS);
const OURS = ['CALLBACK_KEY', 'PAYER_NAME_KEY', 'FINGERPRINT_KEY'];
const text = () => randomBytes(32).toString('base64url');
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

interface Pair {
  readonly accessKey: string;
  readonly secretKey: string;
}
/** One value for each key there is. */
type Generation = Readonly<Record<string, string>>;
const generation = ({ accessKey, secretKey }: Pair): Generation => ({
  MTPAY_ACCESS_KEY: accessKey,
  MTPAY_SECRET_KEY: secretKey,
  ...Object.fromEntries(OURS.map((name) => [name, text()])),
});
const slot = (keys: Generation, suffix: string): Record<string, string> =>
  Object.fromEntries(Object.entries(keys).map(([name, value]) => [`${name}${suffix}`, value]));
const none = (suffix: string): Record<string, null> =>
  Object.fromEntries(['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', ...OURS].map((name) => [`${name}${suffix}`, null]));
const ends = (at: string | null) =>
  Object.fromEntries(['MTPAY_KEY', ...OURS].map((name) => [`${name}_PREVIOUS_UNTIL`, at]));
const namesOf = (keys: Generation) => nameKeys(parseKeys(keys, RINGS, { samples: false }).keys!);
const keyOf = ({ MTPAY_ACCESS_KEY, MTPAY_SECRET_KEY }: Generation) => ({
  accessKey: new Secret(Buffer.from(MTPAY_ACCESS_KEY!)),
  secretKey: new Secret(Buffer.from(MTPAY_SECRET_KEY!)),
});

const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const first = generation({ accessKey: text(), secretKey: text() });
const filesFor = (name: string) => keyFiles(join(folder, name), VARIABLES, first);
const files = { one: filesFor('one'), two: filesFor('two'), worker: filesFor('worker') };
type Part = keyof typeof files;
const PARTS: readonly Part[] = ['one', 'two', 'worker'];

const balancer = await balance();
const engine = await startEngine({
  worker: false,
  env: { ...files.one.env, CALLBACK_BASE_URL: balancer.url },
  sandboxEnv: { SANDBOX_ACCESS_KEY: first['MTPAY_ACCESS_KEY']!, SANDBOX_SECRET_KEY: first['MTPAY_SECRET_KEY']! },
});
const logs: Record<Part, MemoryLog> = {
  one: await loggedApi(engine),
  two: memoryLog(),
  worker: await loggedWorker(engine, files.worker.env),
};
const secondApi = await startApi(
  loadApiConfig({ ...engine.env, ...files.two.env, API_LISTEN: '127.0.0.1:0', CALLBACK_LISTEN: '127.0.0.1:0' }),
  engine.client,
  logs.two.log,
  QUICK_RELAY,
);
afterAll(() => secondApi.close());
balancer.targets.push(engine.api.callbackUrl, secondApi.callbackUrl);
const apis = [engine.api.apiUrl, secondApi.apiUrl];
const apiKey = await createApiKey(engine.db.owner, { name: 'load', scopes: ['deposits:create', 'deposits:read'] });

/** Each connection to the next target; the sandbox opens one for each callback. */
async function balance() {
  const targets: string[] = [];
  let turn = 0;
  const server = createServer((near) => {
    const { hostname, port } = new URL(targets[(turn += 1) % targets.length]!);
    const far = connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => server.close());
  const address = server.address() as { port: number };
  return { targets, url: `http://127.0.0.1:${address.port}` };
}

/** Changes the key files of one process and waits until it logs the change. */
async function lead(part: Part, change: Parameters<KeyFiles['put']>[0]): Promise<void> {
  const loaded = () => logs[part].lines.filter((line) => line.includes('"keys loaded"')).length;
  const before = loaded();
  files[part].put(change);
  await until(`${part} to take its keys`, async () => loaded() > before);
}
const alarms = (part: Part, alarm: string) =>
  raised(logs[part].log, logs[part].lines).filter((line) => line.alarm === alarm);

/** Announces the keys to all, in this order, then signs with them, in this order; the work continues at each step. */
async function rotate(from: Generation, to: Generation, order: readonly Part[]): Promise<void> {
  await Promise.all(order.map((part) => lead(part, slot(to, '_NEXT'))));
  const switched = { ...to, ...none('_NEXT'), ...slot(from, '_PREVIOUS'), ...ends(inHours(80)) };
  for (const part of order) {
    await lead(part, switched);
    await progress(6);
  }
}

interface Made {
  readonly number: string;
  readonly body: Record<string, unknown>;
  paid: boolean;
}
const made: Made[] = [];
/** Deposits from here on are repeated: the fingerprint key of those before has ended. */
let oldest = 0;
const wrong: string[] = [];
const load = { on: true };
let started = 0;

const post = (url: string, body: unknown) =>
  ask(`${url}/v1/deposits`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify(body),
  });
/**
 * The work: of three deposits two are paid at once, and one later; after each a repeat of an old create goes to another
 * process.
 */
async function work(): Promise<void> {
  while (load.on) {
    const n = (started += 1);
    const body = engine.body({ payerRealName: `Payer ${n}` });
    const deposit: Made = { number: String(body['externalOrderNumber']), body, paid: n % 3 !== 0 };
    const answer = await post(apis[n % 2]!, body);
    if (answer.status !== 201) wrong.push(`create ${answer.status} ${answer.text}`);
    if (deposit.paid) await engine.pay(deposit.number);
    made.push(deposit);
    const old = made[oldest + Math.floor(Math.random() * (made.length - oldest))] ?? deposit;
    const again = await post(apis[(n + 1) % 2]!, old.body);
    if (again.status !== 200) wrong.push(`repeat ${again.status} ${again.text}`);
  }
}
const progress = async (count: number) => {
  const goal = made.length + count;
  await until('the work to go on', async () => made.length >= goal);
};
const payTheRest = () =>
  Promise.all(
    made
      .filter((deposit) => !deposit.paid)
      .map(async (deposit) => {
        deposit.paid = true;
        await engine.pay(deposit.number);
      }),
  );
/** A callback with another signature: that of these keys, now. */
const resigned = (body: string, keys: Generation, at = Date.now()) =>
  body.replace(/"signature":"\w+"/, `"signature":"${sign(keyOf(keys), at)}"`).replace(/("timestamp":)\d+/, `$1${at}`);
/** The callback address of this order, under these keys. */
const addressUnder = (keys: Generation, number: string) =>
  callbackUrl(
    engine.api.callbackUrl,
    capabilityKey(new Secret(Buffer.from(keys['CALLBACK_KEY']!, 'base64url'))),
    number,
  );
const atProvider = async (number: string) => (await engine.control('GET', `/orders/${number}`)).orders[0];
const delivered = async (number: string) =>
  until(`the callback of ${number}`, async () => {
    const order = await atProvider(number);
    return order.deliveries[0]?.state === 'ACKNOWLEDGED' && order;
  });

const second: { keys: Generation } = { keys: {} };
const third: { keys: Generation } = { keys: {} };

describe('rotation of every key under load', () => {
  test('loses and refuses no genuine callback, whichever process switches first', { timeout: 240_000 }, async () => {
    const workers = [work(), work(), work()];
    await progress(10);
    const early = await until('a payment under the first keys', async () => made.find((deposit) => deposit.paid));
    const { body } = (await delivered(early.number)).deliveries[0].attempts[0];
    const send = (signedBy: Generation, addressedBy: Generation) =>
      engine.callback(addressUnder(addressedBy, early.number), resigned(body, signedBy));

    second.keys = generation(await engine.control('POST', '/keys'));
    await rotate(first, second.keys, ['worker', 'one', 'two']);
    // Orders of the first keys, paid when all sign with the second.
    await payTheRest();
    await Promise.all(made.filter((deposit) => deposit.paid).map((deposit) => delivered(deposit.number)));
    for (const [signer, address] of [
      [first, first],
      [first, second.keys],
      [second.keys, first],
    ] as const)
      expectAck(await send(signer, address));

    // The end of the first keys, and only of them.
    oldest = made.length;
    await progress(3);
    for (const part of PARTS) await lead(part, ends(new Date(Date.now() + 2_000).toISOString()));
    await until('the end of the first keys', async () => (await send(first, first)).status === 401);
    expectRefusal(await send(first, second.keys), 401, 'unauthorized');
    expectRefusal(await send(second.keys, first), 401, 'unauthorized');
    expectAck(await send(second.keys, second.keys));
    expectRefusal(await post(apis[0]!, early.body), 409, 'other_parameters');
    const wrongTokens = alarms('one', 'callback_good_signature_wrong_token').length;
    await progress(6);

    third.keys = generation(await engine.control('POST', '/keys'));
    // The first keys have ended: there is room for the next.
    await rotate(second.keys, third.keys, ['two', 'one', 'worker']);
    await progress(6);
    load.on = false;
    await Promise.all(workers);
    await payTheRest();

    expect(wrong).toEqual([]);
    const again: number[] = [];
    for (const deposit of made) {
      await engine.untilState(deposit.number, 'CREDITED');
      const order = await delivered(deposit.number);
      expect(order.deliveries).toHaveLength(1);
      const statuses: number[] = order.deliveries[0].attempts.map(
        (attempt: { httpStatus: number }) => attempt.httpStatus,
      );
      expect(statuses.pop()).toBe(200);
      again.push(...statuses);
      expect(order.payerRealName).toBe(deposit.body['payerRealName']);
      expect(await postings(engine, deposit.number)).toEqual(['5000']);
    }
    await engine.auditLedger();
    // At this rate some have the stamp of one of our own signatures, and are requested once more; no others were.
    const reflected = [...alarms('one', 'callback_reflected'), ...alarms('two', 'callback_reflected')];
    expect(again).toEqual(reflected.map(() => 503));
    for (const part of PARTS) expect(alarms(part, 'keys_not_taken'), part).toEqual([]);
    expect(alarms('one', 'callback_good_signature_wrong_token')).toHaveLength(wrongTokens);
    expect(alarms('two', 'callback_good_signature_wrong_token')).toHaveLength(0);
    console.log(
      `${made.length} deposits under three generations of four keys: each credited once, none refused (${again.length} reflected)`,
    );
  });

  test('has used each key: every generation has signed, and verified', async () => {
    const ids = [first, second.keys, third.keys].map((keys) => keyId(keyOf(keys))).toSorted();
    for (const table of ['own_stamp', 'callback_stamp']) {
      const { rows } = await engine.db.owner.query<{ key_id: string }>(
        `select distinct key_id from engine.${table} order by 1`,
      );
      expect(
        rows.map((row) => row.key_id),
        table,
      ).toEqual(ids);
    }
    const { rows } = await engine.db.owner.query<{ key: string }>(
      'select distinct payer_name_key as key from engine.deposit',
    );
    const names = [first, second.keys, third.keys].map((keys) => namesOf(keys)['payerName']!['current']!);
    expect(rows.map((row) => row.key).toSorted()).toEqual(names.toSorted());
  });
});

const placed = async () => {
  const body = engine.body();
  expect((await post(apis[0]!, body)).status).toBe(201);
  return String(body['externalOrderNumber']);
};
const forgedFor = (number: string, keys: Generation, at?: number) =>
  resigned(callbackBody(engine, paid(order({ externalOrderNumber: number }))), keys, at);

test('T2: a stamp of our own is known as ours under the key that signed it, be it the current or the previous one', async () => {
  const open = await placed();
  const reflect = async (keys: Generation) => {
    const { rows } = await engine.db.owner.query<{ at: string }>(
      'select timestamp_ms as at from engine.own_stamp where key_id = $1 and reflected_at is null limit 1',
      [keyId(keyOf(keys))],
    );
    return engine.callback(addressUnder(third.keys, open), forgedFor(open, keys, Number(rows[0]!.at)));
  };
  for (const keys of [second.keys, third.keys]) {
    const before = alarms('one', 'callback_reflected').length;
    expectRefusal(await reflect(keys), 503, 'unavailable');
    expect(alarms('one', 'callback_reflected')).toHaveLength(before + 1);
  }
  expectRefusal(await reflect(first), 401, 'unauthorized');
  expect((await engine.deposit(open)).state).toBe('AWAITING_PAYMENT');
});

describe('T27: a leaked key is cut at once', () => {
  /** Changes all processes at once; returns how long it took until each had the change. */
  const cut = async (change: Record<string, string | null>) => {
    const startedMs = performance.now();
    await Promise.all(PARTS.map((part) => lead(part, change)));
    return performance.now() - startedMs;
  };

  test('of the provider: forgeries stop, and the payments of open orders are credited under the new key', async () => {
    const [taken, open] = [await placed(), await placed()];
    // Until the cut, a holder of the pair and an address is believed.
    expectAck(await engine.callback(addressUnder(third.keys, taken), forgedFor(taken, third.keys)));

    const { accessKey, secretKey } = await engine.control('POST', '/keys/rotate', { overlapMs: 0 });
    const leaked = third.keys;
    third.keys = { ...leaked, MTPAY_ACCESS_KEY: accessKey, MTPAY_SECRET_KEY: secretKey };
    const tookMs = await cut({ ...third.keys, MTPAY_ACCESS_KEY_PREVIOUS: null, MTPAY_SECRET_KEY_PREVIOUS: null });

    const forged = () => engine.callback(addressUnder(third.keys, open), forgedFor(open, leaked));
    expectRefusal(await forged(), 401, 'unauthorized');
    expect(alarms('one', 'key_overlap_short')).toContainEqual(
      expect.objectContaining({ key: 'mtpay', until: null, neededUntil: expect.any(String) }),
    );
    await engine.pay(open);
    await engine.untilState(open, 'CREDITED');
    expect((await delivered(open)).deliveries[0].attempts).toHaveLength(1);
    expectRefusal(await forged(), 401, 'unauthorized');
    expect(await postings(engine, open)).toEqual(['5000']);
    console.log(`a leaked provider key was cut in three processes within ${Math.round(tookMs)} ms`);
  });

  test('of the callback addresses: open orders are refused until it verifies again, and nothing is lost', async () => {
    const open = await placed();
    const leaked = third.keys['CALLBACK_KEY']!;
    third.keys = { ...third.keys, CALLBACK_KEY: text() };
    await cut({ ...third.keys, CALLBACK_KEY_PREVIOUS: null });
    await engine.pay(open);
    await until('a refusal', async () => {
      const order = await atProvider(open);
      return order.deliveries[0]?.attempts[0]?.httpStatus === 401;
    });
    expect((await engine.deposit(open)).state).toBe('AWAITING_PAYMENT');
    expect([
      ...alarms('one', 'callback_good_signature_wrong_token'),
      ...alarms('two', 'callback_good_signature_wrong_token'),
    ]).not.toEqual([]);
    // A new order is not affected.
    const fresh = await placed();
    await engine.pay(fresh);
    await engine.untilState(fresh, 'CREDITED');

    await cut({ CALLBACK_KEY_PREVIOUS: leaked, CALLBACK_KEY_PREVIOUS_UNTIL: inHours(80) });
    await engine.untilState(open, 'CREDITED');
    expect(await postings(engine, open)).toEqual(['5000']);
  });

  test('a provider that signs with a new key before we know it is refused, retries and is credited', async () => {
    const open = await placed();
    await engine.control('PUT', '/settings', { signsWith: 'newest' });
    const { accessKey, secretKey } = await engine.control('POST', '/keys');
    await engine.pay(open);
    await until('a refusal', async () => (await atProvider(open)).deliveries[0]?.attempts[0]?.httpStatus === 401);
    await cut({ MTPAY_ACCESS_KEY_NEXT: accessKey, MTPAY_SECRET_KEY_NEXT: secretKey });
    await engine.untilState(open, 'CREDITED');
    expect(await postings(engine, open)).toEqual(['5000']);
    await engine.auditLedger();
  });
});

test('a name whose key the worker does not know is not placed: nothing is sent, nothing is left open', async () => {
  const unannounced = text();
  await lead('one', { PAYER_NAME_KEY: unannounced, PAYER_NAME_KEY_PREVIOUS: null });
  const body = engine.body();
  const number = String(body['externalOrderNumber']);
  const refused = await post(apis[0]!, body);
  expect(refused).toMatchObject({ status: 422, body: { code: 'NOT_SENT' } });
  expect(await attempts(engine, number)).toMatchObject([{ n: 1, outcome: 'closed' }]);
  expect(await seenByProvider(engine, number)).toEqual({ placements: 0, orders: 0 });

  await lead('worker', { PAYER_NAME_KEY_NEXT: unannounced });
  await placed();
});
