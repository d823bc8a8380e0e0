import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { EVENT_SCHEMAS, EVENT_TYPES, type EventAnswer, type EventType } from '../../contract/events.ts';
import { createApiKey, proofOf } from '../../database/queries/api-keys.ts';
import { claimDeliveries, settleDeliveries } from '../../database/queries/notifications/deliveries.ts';
import { makeEndpoint } from '../../database/queries/notifications/endpoints.ts';
import { fault } from '../api/evidence.ts';
import { arrives, decideTogether, opened, placed, walletBalance } from '../api/decisions.ts';
import { withApi } from '../api/parts.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { orderNumber, paid } from '../support/builders.ts';
import { byHand } from '../support/database.ts';
import { until } from '../support/until.ts';
import { EVENTS } from '../../audit/tables/checks/event-checks.ts';
import { eventFaults } from '../support/events.ts';
import { startDeciding } from './decisions/deciding.ts';

/** Every effect is told once, in order, with the truth of its moment (docs/reference/events.md). */
const { engine, alice, bob, newWallet, deposit, arrivesAhead, credited } = await startDeciding();
const reader = await createApiKey(engine.db.owner, { name: 'shop', scopes: ['events:read'] });
const list = (query = '', key = reader) => engine.call('GET', `/v1/events${query}`, undefined, { key });

/** All events, page by page. */
async function readAll(query = '', key = reader): Promise<EventAnswer[]> {
  const all: EventAnswer[] = [];
  for (let cursor = ''; ; ) {
    const { status, text, body } = await list(`?limit=7${query}${cursor}`, key);
    expect(status, text).toBe(200);
    all.push(...body.items);
    if (!body.more) return all;
    cursor = `&cursor=${body.nextCursor}`;
  }
}
/** The events of a deposit, once there are so many. */
const told = (n: string, count: number): Promise<EventAnswer[]> =>
  until(`${count} events of ${n}`, async () => {
    const { body } = await list(`?deposit=${n}&limit=200`);
    return body.items.length >= count && body.items;
  });
const types = (events: readonly EventAnswer[]) => events.map(({ type }) => type);
const dataOf = (events: readonly EventAnswer[], type: EventType) => events.find((one) => one.type === type)!.data;

test('a paid deposit: placed and credited, each with what is true at that moment', async () => {
  const { order, data } = await credited();
  const n = order.externalOrderNumber;
  const events = await told(n, 2);
  const shown = await deposit(order);
  const common = {
    externalOrderNumber: n,
    wallet: order.wallet,
    currencyCode: order.currencyCode,
    buyCoinMode: 'MtcAmount',
    asked: { mtcAmount: '5000' },
    late: false,
  };
  expect(events).toEqual([
    {
      id: `evt_${n}_1`,
      type: 'deposit.placed',
      version: 1,
      epoch: 1,
      timestamp: expect.any(String),
      data: {
        ...common,
        sequence: 1,
        state: 'AWAITING_PAYMENT',
        final: false,
        expiresAt: shown.expiresAt,
        listeningUntil: shown.listeningUntil,
        advertisementCode: shown.advertisementCode,
      },
    },
    {
      id: `evt_${n}_2`,
      type: 'deposit.credited',
      version: 1,
      epoch: 1,
      timestamp: expect.any(String),
      data: {
        ...common,
        sequence: 2,
        state: 'CREDITED',
        final: true,
        postingId: shown.credits[0].postingId,
        amount: '5000',
        transactionCode: data.transactionCode,
        paidPrice: data.paymentPrice,
        creditedAt: shown.credits[0].at,
      },
    },
  ]);
});

test('an order that the provider refuses, one whose answer is lost, and one that nobody pays', async () => {
  const refused = orderNumber();
  await fault(engine, refused, 'status', { statusCode: 'NO_ADVERTISEMENT' });
  expect((await engine.create({ externalOrderNumber: refused })).status).toBe(422);
  const refusal = await told(refused, 1);
  expect(refusal).toMatchObject([{ type: 'deposit.refused', data: { refusal: 'NO_ADVERTISEMENT', final: true } }]);

  const lost = orderNumber();
  await fault(engine, lost, 'cut');
  expect((await engine.create({ externalOrderNumber: lost })).status).toBe(202);
  expect(await told(lost, 1)).toMatchObject([{ type: 'deposit.unknown', data: { state: 'PLACEMENT_UNKNOWN' } }]);

  const unpaid = orderNumber();
  await withApi(engine, { env: { PAYMENT_WINDOW: '100ms', LISTENING_WINDOW: '100ms' } }, async () => {
    await engine.place({ externalOrderNumber: unpaid });
  });
  expect(types(await told(unpaid, 3))).toEqual(['deposit.placed', 'deposit.expired', 'deposit.unpaid']);
});

test('a payment that people decide about: the case, the review, the decision, and every move of the money', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await arrives(engine, order, { transactionAmount: '4999' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  await decideTogether(alice, bob, id, { decision: 'credit' });
  const about = { externalOrderNumber: order.externalOrderNumber, reason: 'asked once more' };
  const doubt = (await alice.doubt(about)).body.id;
  await decideTogether(alice, bob, doubt, { decision: 'reverse', keep: true });
  await decideTogether(alice, bob, doubt, { decision: 'restore' });
  const second = (await alice.doubt(about)).body.id;
  await decideTogether(alice, bob, second, { decision: 'reverse' });
  const events = await told(order.externalOrderNumber, 11);
  expect(types(events)).toEqual(
    [
      'deposit.placed',
      'case.opened',
      'deposit.in_review',
      'deposit.credited',
      'case.decided',
      'case.opened',
      'deposit.reversed',
      'deposit.restored',
      'case.decided',
      'case.opened',
      'deposit.reversed',
      'case.decided',
    ].slice(0, events.length),
  );
  expect((await told(order.externalOrderNumber, 12)).map(({ data }) => data['sequence'])).toEqual(
    Array.from({ length: 12 }, (_, i) => i + 1),
  );
  expect(dataOf(events, 'deposit.in_review')).toMatchObject({ case: id, reason: 'AMOUNT_MISMATCH', final: false });
  expect(dataOf(events, 'case.decided')).toMatchObject({ case: id, decision: 'credit', state: 'CREDITED' });
  expect(dataOf(events, 'deposit.reversed')).toMatchObject({ amount: '4999', kept: true, state: 'CREDITED' });
  expect(await walletBalance(engine, order.wallet)).toBe('0');
});

test('a deposit that ends by a payment which was told before moves no money a second time', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await arrivesAhead(order);
  const unbound = await opened(alice, order, 'STAMP_AHEAD', 'nothing');
  await arrives(engine, order, { transactionAmount: '4999' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  await decideTogether(alice, bob, unbound.id, { decision: 'credit' });
  await decideTogether(alice, bob, id, { decision: 'reject' });
  const events = await told(order.externalOrderNumber, 8);
  expect(types(events)).toEqual([
    'deposit.placed',
    'case.opened',
    'case.opened',
    'deposit.in_review',
    'deposit.payment_added',
    'case.decided',
    'deposit.settled',
    'case.decided',
  ]);
  const { postingId } = dataOf(events, 'deposit.payment_added');
  expect(dataOf(events, 'deposit.settled')).toMatchObject({ postingId, state: 'CREDITED', final: true });
});

test('money that people put into another deposit is told of that one, and taken out there as well', async () => {
  const { order: full } = await credited();
  const { order: wrong } = await credited();
  const { id } = (await alice.doubt({ externalOrderNumber: wrong.externalOrderNumber, reason: 'the wrong one' })).body;
  await decideTogether(alice, bob, id, { decision: 'reverse', keep: true });
  const [{ postingId }] = (await deposit(full)).credits;
  const credit = { decision: 'credit', toDeposit: full.externalOrderNumber, beside: postingId };
  await decideTogether(alice, bob, id, credit);
  expect(types(await told(wrong.externalOrderNumber, 5))).toEqual([
    'deposit.placed',
    'deposit.credited',
    'case.opened',
    'deposit.reversed',
    'case.decided',
  ]);
  const [, , added] = await told(full.externalOrderNumber, 3);
  expect(added).toMatchObject({ type: 'deposit.payment_added', data: { wallet: full.wallet, amount: '5000' } });
  const again = (await alice.doubt({ postingId: added!.data['postingId'], reason: 'no, back' })).body;
  await decideTogether(alice, bob, again.id, { decision: 'reverse' });
  const reversed = (await told(full.externalOrderNumber, 4)).at(-1);
  expect(reversed).toMatchObject({ type: 'deposit.reversed', data: { of: added!.data['postingId'], kept: false } });
});

test('a deposit that people reject', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await arrives(engine, order, { transactionAmount: '1' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  await decideTogether(alice, bob, id, { decision: 'reject' });
  const events = await told(order.externalOrderNumber, 5);
  expect(types(events).slice(3)).toEqual(['deposit.rejected', 'case.decided']);
  expect(dataOf(events, 'deposit.rejected')).toMatchObject({ case: id, final: true });
});

test('a payment of an order that nobody knows is told of no deposit, and only to keys without a limit', async () => {
  const order = { ...(await credited()).order, externalOrderNumber: orderNumber() };
  const address = callbackAddress(engine, order.externalOrderNumber);
  const data = paid(order);
  expect((await engine.callback(address, callbackBody(engine, data))).status).toBe(503);
  await byHand(
    engine.db.owner,
    `update engine.callback set received_at = received_at - interval '7 hours' where external_order_number = $1`,
    [order.externalOrderNumber],
  );
  expect((await engine.callback(address, callbackBody(engine, data))).status).toBe(200);
  const { id } = await opened(alice, order, 'UNKNOWN_ORDER', 'nothing');
  await decideTogether(alice, bob, id, { decision: 'reject' });
  const mine = await until('both events', async () => {
    const found = (await readAll()).filter((one) => one.data['case'] === id);
    return found.length === 2 && found;
  });
  const nobody = { externalOrderNumber: null, wallet: null, state: null, asked: null };
  expect(mine).toMatchObject([
    { type: 'case.opened', data: { ...nobody, sequence: 1, reason: 'UNKNOWN_ORDER' } },
    { type: 'case.decided', data: { ...nobody, sequence: 2, decision: 'reject' } },
  ]);
});

test('a warning that an endpoint fails, and that it was disabled, for keys without a limit', async () => {
  const { db } = engine;
  const proof = proofOf(await createApiKey(db.owner, { name: 'hooks', scopes: ['endpoints:manage'] }));
  const notifier = db.poolFor('app_notifier');
  const failing = async (status: number, hours: number) => {
    const wanted = {
      url: 'https://shop.example/',
      types: ['deposit.placed'],
      signature: 'v1',
      publicKey: null,
    } as const;
    const id = await makeEndpoint(db.poolFor('app_api'), proof, { ...wanted, sealed: randomBytes(60) });
    await engine.place({ wallet: newWallet() });
    const { attempt } = await until('its message', async () =>
      (await claimDeliveries(notifier, 64)).find(({ endpoint }) => `ep_${endpoint}` === id),
    );
    await byHand(
      db.owner,
      `update engine.endpoint set created_at = created_at - $2 * interval '1 hour', failing_since = clock_timestamp() - $2 * interval '1 hour' where id = $1`,
      [id.slice(3), hours],
    );
    const result = { attempt, status, fault: null, ms: 3, answer: '', waitMs: null };
    const alarms = await settleDeliveries(notifier, [result]);
    return { id, alarms };
  };
  const warned = await failing(500, 61);
  expect(warned.alarms).toEqual([{ endpoint: warned.id, alarm: 'endpoint_failing' }]);
  const late = await failing(500, 120);
  expect(late.alarms).toEqual([{ endpoint: late.id, alarm: 'endpoint_disabled' }]);
  const gone = await failing(410, 0);
  const mine = await until('three events', async () => {
    const found = (await readAll()).filter(({ type }) => type.startsWith('endpoint.'));
    return found.length === 3 && found;
  });
  const failingSince = expect.stringMatching(/Z$/);
  expect(mine.map(({ id, type, data }) => ({ id, type, data }))).toEqual([
    {
      id: `evt_endpoint:${warned.id.slice(3)}_1`,
      type: 'endpoint.failing',
      data: { endpoint: warned.id, failingSince, hours: 60, sequence: 1 },
    },
    ...[late, gone].map(({ id }) => ({
      id: `evt_endpoint:${id.slice(3)}_1`,
      type: 'endpoint.disabled',
      data: { endpoint: id, failingSince, reason: id === gone.id ? 'gone' : 'failing', sequence: 1 },
    })),
  ]);
  const limited = await createApiKey(db.owner, { name: 'hook', scopes: ['events:read'], wallets: ['wallet-42'] });
  expect(await readAll('&type=endpoint.disabled', limited)).toEqual([]);
  // Whether the last event of all is published cannot be seen: another is the last.
  const { externalOrderNumber } = await engine.place({ wallet: newWallet() });
  await told(externalOrderNumber, 1);
});

describe('the audit', () => {
  interface Row {
    readonly id: string;
    readonly type: EventType;
    readonly subject: string;
    readonly sequence: number;
    readonly data: Readonly<Record<string, unknown>>;
    /** What the view adds, and a row of before 043-lean-events.sql holds. */
    readonly kept: Readonly<Record<string, unknown>>;
  }
  /** The newest of each type. Whether the last of all is published yet cannot be seen. */
  const samples = async () =>
    (
      await engine.db.owner.query<Row>(
        `select distinct on (e.type) e.id::text, e.type, e.subject, e.sequence, e.data,
                (b.body->'data') - array(select jsonb_object_keys(e.data)) as kept
           from engine.event e join engine.event_body b on b.id = e.id
          where e.position < (select max(position) from engine.event) order by e.type, e.id desc`,
      )
    ).rows;
  /** Tampers as somebody whom no trigger stops, counts what the audit finds, and takes it back. */
  async function foundBy(sql: string): Promise<number> {
    const client = await engine.db.owner.connect();
    try {
      await client.query('begin; set local session_replication_role = replica');
      const done = [await client.query(sql)].flat();
      if (done.every(({ rowCount }) => rowCount === 0)) return 1;
      for (const check of EVENTS) {
        const { rowCount } = await client.query(check.sql);
        if (rowCount! > 0) return rowCount!;
      }
      return 0;
    } finally {
      await client.query('rollback');
      client.release();
    }
  }
  const missed = async (tampers: readonly string[]): Promise<string[]> => {
    const found: string[] = [];
    for (const sql of tampers) if ((await foundBy(sql)) === 0) found.push(sql);
    return found;
  };

  test('has no finding, and every wallet has what its events add up to', async () => {
    expect(await eventFaults(engine.db.owner)).toEqual([]);
  });

  const inFull = (id: string, kept: object) =>
    `update engine.event set data = data || '${JSON.stringify(kept)}' where id = ${id}`;

  test('has nothing against a row of before, which holds what the view adds as well', async () => {
    const found: number[] = [];
    for (const { id, kept } of await samples()) found.push(await foundBy(inFull(id, kept)));
    expect(found.length).toBeGreaterThan(10);
    expect(found.filter((n) => n > 0)).toEqual([]);
  });

  test('finds each column and each field of each type, if it is changed, taken out or of another type', async () => {
    const tampers = (await samples()).flatMap(({ id, data, kept }) => {
      const at = `where id = ${id}`;
      const set = (what: string) => `update engine.event set ${what} ${at}`;
      const fields = (of: object) =>
        Object.entries(of).flatMap(([name, value]: [string, unknown]) => [
          set(`data = data - '${name}'`),
          set(`data = jsonb_set(data, '{${name}}', ${value === null ? `'"x"'` : `'null'`})`),
          set(`data = jsonb_set(data, '{${name}}', to_jsonb(concat(data->>'${name}', '1')))`),
          typeof value === 'boolean' ? set(`data = jsonb_set(data, '{${name}}', '${!value}')`) : '',
          typeof value === 'boolean' ? set(`data = jsonb_set(data, '{${name}}', '"${value}"')`) : '',
        ]);
      return [
        ...EVENT_TYPES.map((type) => `${set(`type = '${type}'`)} and type <> '${type}'`),
        ...fields(data),
        ...fields(kept).flatMap((sql) => (sql === '' ? [] : `${inFull(id, kept)};${sql}`)),
        // The view would take it for what the deposit says.
        ...Object.entries(kept).map(([name, value]) => set(`data = data || '${JSON.stringify({ [name]: value })}'`)),
        ...Object.keys(kept).map((name) => set(`data = data || '{"${name}": "x"}'`)),
        set(`data = data || '{"payerName": "Test Person"}'`),
        set(`data = data || '{"note": null}'`),
        set(`subject = subject || '1'`),
        set('sequence = sequence + 100'),
        set(`wallet = 'wallet-evil'`),
        `${set('wallet = null')} and wallet is not null`,
        set('posting = 999999'),
        `${set('posting = null')} and posting is not null`,
        set(`case_id = 'review:1'`),
        `${set('case_id = null')} and case_id is not null`,
        set('epoch = epoch + 1'),
        set('epoch = 0'),
        set(`at = at + interval '1 day'`),
        set(`at = at - interval '1 day'`),
        set(`published_at = published_at + interval '1 day'`),
        set(`published_at = published_at - interval '1 day'`),
        set('position = null, published_at = null'),
        set('position = -position'),
      ].filter((sql) => sql !== '');
    });
    expect(tampers.length).toBeGreaterThan(400);
    expect(await missed(tampers)).toEqual([]);
  });

  test('finds one that is taken out, doubled, or put at the place of another, with all numbers in order', async () => {
    const rows = await samples();
    const out = ({ id, subject, sequence }: Row) => `
      delete from engine.event where id = ${id};
      update engine.event set sequence = sequence + 1000 where subject = '${subject}' and sequence > ${sequence};
      update engine.event set sequence = sequence - 1001 where sequence > 1000;
      update engine.deposit set events = events - 1 where external_order_number = '${subject}';
      with n as (select id, row_number() over (order by position) as place from engine.event)
      update engine.event e set position = -n.place from n where n.id = e.id and e.position is not null;
      update engine.event set position = -position where position is not null`;
    const twice = ({ id, subject }: Row) => `
      insert into engine.event (subject, sequence, type, wallet, case_id, epoch, data)
      select subject, k.n, type, wallet, case_id, epoch, data
        from engine.event, (select max(sequence) + 1 as n from engine.event where subject = '${subject}') k where id = ${id};
      update engine.deposit set events = events + 1 where external_order_number = '${subject}'`;
    const swapped = ({ id }: Row) => `
      with o as (select position from engine.event where id = ${id}),
           p as (select e.id, e.position from engine.event e, o where e.position = (select max(x.position) from engine.event x, engine.event m
                  where m.id = ${id} and x.position < m.position and x.subject <> m.subject))
      update engine.event e set position = -case e.id when ${id} then p.position else o.position end from o, p where e.id in (${id}, p.id);
      update engine.event set position = -position where position < 0`;
    expect(await missed(rows.map(out))).toEqual([]);
    expect(await missed(rows.map(twice))).toEqual([]);
    expect(await missed(rows.map(swapped))).toEqual([]);
  });
});

describe('the list', () => {
  test('has every event once, whatever the size of a page; money adds up to the wallets', async () => {
    const all = await readAll();
    const pages = (await list('?limit=200')).body.items;
    expect(all.slice(0, pages.length)).toEqual(pages);
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    for (const event of all) expect(EVENT_SCHEMAS[event.type].parse(event)).toEqual(event);
    const seen = new Set(types(all));
    expect(EVENT_TYPES.filter((type) => !seen.has(type))).toEqual([]);
    const sums = new Map<string, number>();
    for (const { type, data } of all) {
      if (data['amount'] === undefined) continue;
      const amount = Number(data['amount']) * (type === 'deposit.reversed' ? -1 : 1);
      sums.set(data['wallet'] as string, (sums.get(data['wallet'] as string) ?? 0) + amount);
    }
    for (const [wallet, sum] of sums) expect(await walletBalance(engine, wallet), wallet).toBe(String(sum));
  });

  test('by type, by time, and after a cursor has just those', async () => {
    const all = await readAll();
    const of = all.filter(({ type }) => type === 'deposit.credited');
    expect(await readAll('&type=deposit.credited')).toEqual(of);
    const since = all[4]!.timestamp;
    expect(await readAll(`&since=${since}`)).toEqual(all.filter(({ timestamp }) => timestamp >= since));
    expect(await readAll(`&type=deposit.credited&since=${since}`)).toEqual(
      of.filter(({ timestamp }) => timestamp >= since),
    );
    const { body } = await list('?limit=200');
    const last = await list(`?cursor=${body.nextCursor}`);
    const { order } = await credited();
    await told(order.externalOrderNumber, 2);
    const next = await readAll(`&cursor=${last.body.nextCursor}`);
    expect(next.slice(-2).map(({ id }) => id)).toEqual([
      `evt_${order.externalOrderNumber}_1`,
      `evt_${order.externalOrderNumber}_2`,
    ]);
    for (const wrong of ['cursor=1', 'cursor=1.-1', 'type=deposit.created', 'since=2026-02-30T00:00:00Z', 'after=1'])
      expect((await list(`?${wrong}`)).status, wrong).toBe(400);
  });

  test('for a key of some wallets has their events alone, and needs its scope', async () => {
    const { order } = await credited();
    await told(order.externalOrderNumber, 2);
    const wallets = [order.wallet, 'wallet-credits-1'];
    const limited = await createApiKey(engine.db.owner, { name: 'one', scopes: ['events:read'], wallets });
    const all = await readAll();
    expect(await readAll('', limited)).toEqual(all.filter(({ data }) => wallets.includes(data['wallet'] as string)));
    const other = all.find(({ data }) => !wallets.includes(data['wallet'] as string))!;
    expect(await readAll(`&deposit=${String(other.data['externalOrderNumber'])}`, limited)).toEqual([]);
    const none = await createApiKey(engine.db.owner, { name: 'none', scopes: ['deposits:read'] });
    expect((await list('', none)).status).toBe(403);
  });

  test('says when the database was restored: a cursor of before is refused', async () => {
    const { body } = await list('?limit=1');
    await engine.db.owner.query('insert into engine.restored default values');
    const stale = await list(`?cursor=${body.nextCursor}`);
    expect(stale).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });
    expect((await list('?limit=1')).body.epoch).toBe(2);
    const { order } = await credited();
    expect((await told(order.externalOrderNumber, 2)).at(-1)!.id).toBe(`evt_${order.externalOrderNumber}_2:2`);
  });
});
