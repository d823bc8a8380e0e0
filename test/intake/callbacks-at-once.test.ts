import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { createPool, inTransaction, isDatabaseAway } from '../../database/pool.ts';
import { insertCallback } from '../../database/queries/callbacks.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { countUnderWay } from '../../intake/admission-control.ts';
import { createReceiver } from '../../intake/receive-callback.ts';
import { callbackUrl, capabilityKey } from '../../providers/callback-address.ts';
import { createProviderClock } from '../../providers/clock.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { named, sign } from '../../providers/mtpay/signature.ts';
import { PROVIDERS } from '../../providers/providers.ts';
import { memoryLog, raised } from '../api/evidence.ts';
import { lineTo } from '../api/parts.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { order, paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { seal, sealed } from '../support/seals.ts';
import { countTrips, nameOf } from '../support/trips.ts';
import { until } from '../support/until.ts';

/** Concurrent callbacks, which share round trips: every response equals that of the longer look. */

const db = await createTestDatabase();
const capability = capabilityKey(new Secret(randomBytes(32)));
const mtpay = named({ accessKey: new Secret(randomBytes(32)), secretKey: new Secret(randomBytes(32)) });
let last = Date.now() - 600_000;
const newStamp = () => (last += 1);

function startReceiver(max = 20, url = db.urlFor('app_api')) {
  const pool = createPool({
    url,
    applicationName: `api-${randomBytes(3).toString('hex')}`,
    max,
    lockTimeoutMs: 4_900,
  });
  onTestFinished(() => pool.end().catch(() => undefined));
  const { log, lines } = memoryLog();
  const signaled: string[] = [];
  const underWay = countUnderWay();
  const receiver = createReceiver({
    pool,
    provider: PROVIDERS.mtpay.createCallbacks(fixedKeyring(mtpay)),
    capabilities: fixedKeyring(capability),
    clock: createProviderClock(pool),
    seal,
    signal: ({ externalOrderNumber }) => void signaled.push(externalOrderNumber),
    underWay,
    log,
  });
  const arrives = (asked: Order, at = newStamp(), change: Partial<CallbackData> = {}) => {
    const { transactionAmount, paymentPrice, ...data } = { ...paid(asked), ...change };
    const amounts = `"transactionAmount":${transactionAmount},"paymentPrice":${paymentPrice}`;
    const raw = `{"signature":"${sign(mtpay, at)}","timestamp":${at},"data":${JSON.stringify(data).slice(0, -1)},${amounts}}}`;
    const [kid, token] = callbackUrl('', capability, asked.externalOrderNumber).split('/').slice(-2) as [
      string,
      string,
    ];
    return receiver.receive({ kid, token, raw: Buffer.from(raw) });
  };
  return {
    pool,
    arrives,
    signaled,
    underWay: underWay.count,
    alarms: () => raised(log, lines).map(({ alarm }) => alarm),
  };
}
type Api = ReturnType<typeof startReceiver>;

const waitForLocks = (api: Api, count = 1) =>
  until(`${count} to wait for a lock`, async () => {
    const { rows } = await db.owner.query(
      `select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
      [api.pool.options.application_name],
    );
    return rows.length >= count;
  });

const inbox = async (n: string) =>
  (
    await db.owner.query(
      `select c.receipt, c.acked, c.attempts, d.bound_callback = c.id as bound from engine.callback c
         left join engine.deposit d using (external_order_number) where c.external_order_number = $1 order by c.id`,
      [n],
    )
  ).rows;

/**
 * Another process keeps the message of an order that turns up meanwhile, and commits when `work` is done. Returns the
 * message's stamp and content.
 */
async function whileKeptElsewhere(
  asked: Order,
  work: (at: number, data: CallbackData) => Promise<void>,
): Promise<void> {
  const data = paid(asked);
  const at = newStamp();
  const stamp = { keyId: mtpay.id, timestampMs: at };
  const row = {
    externalOrderNumber: asked.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from('{}'),
    receipt: 'unknown_order' as const,
    reviewReason: 'UNKNOWN_ORDER' as const,
  };
  const other = createPool({ url: db.urlFor('app_api'), applicationName: 'other', max: 1 });
  onTestFinished(() => other.end());
  await inTransaction(other, async (client) => {
    await insertCallback(client, sealed(row, stamp), stamp);
    await reserved(db.owner, asked);
    await sentBefore(db.owner, asked.externalOrderNumber);
    await work(at, data);
  });
}

describe('one look', () => {
  it('binds a message that another process keeps as one of an unknown order, when the order turns up meanwhile', async () => {
    const api = startReceiver();
    const asked = order();
    let answer: Promise<string>;
    await whileKeptElsewhere(asked, async (at, data) => {
      answer = api.arrives(asked, at, data);
      void answer.catch(() => undefined);
      await waitForLocks(api);
    });
    expect(await answer!).toBe('ack');
    expect(await inbox(asked.externalOrderNumber)).toEqual([
      { receipt: 'first', acked: true, attempts: 2, bound: true },
    ]);
    expect(api.alarms()).toEqual([]);
  });
});

describe('messages of many orders at once', () => {
  const sentOrders = (count: number) =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const asked = await reserved(db.owner);
        await sentBefore(db.owner, asked.externalOrderNumber);
        return asked;
      }),
    );
  const FIRST = { receipt: 'first', acked: true, attempts: 1, bound: true };
  const expectFirst = async ({ externalOrderNumber: n }: Order, attempts = 1) =>
    expect(await inbox(n), n).toEqual([{ ...FIRST, attempts }]);
  /** Lets nobody write into the inbox while `work` runs, and batches wait for it. */
  async function whileInboxIsLocked(work: () => Promise<void>): Promise<void> {
    const { rows } = await db.owner.query<{ found: string }>(
      `select substring(array_to_string(proconfig, ' ') from 'lock_timeout=(\\w+)') as found from pg_proc where proname = 'receive_firsts'`,
    );
    const set = (timeout: string) =>
      db.owner.query(`alter function engine.receive_firsts(jsonb) set lock_timeout = '${timeout}'`);
    await set('1h');
    onTestFinished(async () => void (await set(rows[0]!.found)));
    await inTransaction(db.owner, async (client) => {
      await client.query('lock table engine.callback in share mode');
      await work();
    });
  }

  it('share round trips and commits; one alone has its own, at once', async () => {
    const counting = countTrips();
    onTestFinished(() => counting.stop());
    const api = startReceiver();
    const [alone, ...orders] = await sentOrders(65);
    counting.take();
    expect(await api.arrives(alone!)).toBe('ack');
    const trips = () =>
      counting
        .take()
        .filter(({ by, text }) => by === api.pool.options.application_name && text.includes('engine.'))
        .map(({ text, isLast }) => [nameOf(text), isLast]);
    const one = ['engine.receive_firsts()', true];
    expect(trips().filter(([name]) => name !== 'select engine.provider_clock')).toEqual([one]);
    expect(await Promise.all(orders.map((asked) => api.arrives(asked)))).toEqual(orders.map(() => 'ack'));
    const shared = trips();
    // Four go at once, and the others while these are under way.
    expect(shared.length).toBeLessThanOrEqual(8);
    expect(shared).toEqual(shared.map(() => one));
    for (const asked of [alone!, ...orders]) await expectFirst(asked);
    expect(api.alarms()).toEqual([]);
  });

  it('one that PostgreSQL refuses fails no other', async () => {
    const api = startReceiver();
    const orders = await sentOrders(24);
    const [bad, ...good] = orders;
    await db.owner.query(
      `create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'never' using errcode = '22023'; end $$;
       create trigger refuse before insert on engine.callback for each row
         when (new.external_order_number = '${bad!.externalOrderNumber}') execute function public.refuse()`,
    );
    onTestFinished(async () => void (await db.owner.query('drop function public.refuse() cascade')));
    let answers: Promise<PromiseSettledResult<string>[]>;
    await whileInboxIsLocked(async () => {
      answers = Promise.allSettled([...good.slice(0, 12), bad!, ...good.slice(12)].map((asked) => api.arrives(asked)));
      await waitForLocks(api);
      expect(api.underWay()).toBe(orders.length);
    });
    expect((await answers!).length + api.underWay()).toBe(orders.length);
    const [refused, ...others] = (await answers!).toSorted((a, b) => (a.status > b.status ? -1 : 1));
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: '22023' } });
    expect(others).toEqual(good.map(() => ({ status: 'fulfilled', value: 'ack' })));
    for (const asked of good) await expectFirst(asked);
    expect(await inbox(bad!.externalOrderNumber)).toEqual([]);
    expect(api.alarms()).toEqual(['callback_not_stored']);
  });

  it('are not held up by locked deposits, however many wait for those', async () => {
    const api = startReceiver(8);
    const [free, ...held] = await sentOrders(13);
    let waiting: Promise<string[]>;
    await inTransaction(db.owner, async (client) => {
      await client.query('select from engine.deposit where external_order_number = any($1) for update', [
        held.map(({ externalOrderNumber }) => externalOrderNumber),
      ]);
      let answered = 0;
      waiting = Promise.all(held.map((asked) => api.arrives(asked).finally(() => (answered += 1))));
      await waitForLocks(api, 4);
      // No signal gives way to those that wait for a lock.
      await until('all of them have been looked at', () => Promise.resolve(api.underWay() === 0));
      expect(await api.arrives(free!)).toBe('ack');
      expect(answered).toBe(0);
    });
    expect(await waiting!).toEqual(held.map(() => 'ack'));
    for (const asked of [free!, ...held]) await expectFirst(asked);
  });

  it('are not held up by one that another process keeps as one of an unknown order, and has not committed', async () => {
    const api = startReceiver();
    const asked = order();
    const others = await sentOrders(20);
    let answer: Promise<string>;
    await whileKeptElsewhere(asked, async (at, data) => {
      const before = others.slice(0, 10).map((one) => api.arrives(one));
      answer = api.arrives(asked, at, data);
      void answer.catch(() => undefined);
      const after = others.slice(10).map((one) => api.arrives(one));
      expect(await Promise.all([...before, ...after])).toEqual(others.map(() => 'ack'));
    });
    expect(await answer!).toBe('ack');
    for (const one of others) await expectFirst(one);
    await expectFirst(asked, 2);
  });

  it('whose connection ends before the commit are all refused, none is stored, and each is taken when it comes again', async () => {
    const api = startReceiver();
    const orders = await sentOrders(40);
    const refused: Order[] = [];
    let answers: Promise<PromiseSettledResult<string>[]>;
    await whileInboxIsLocked(async () => {
      const arrive = (asked: Order) =>
        api.arrives(asked).catch((error: unknown) => {
          refused.push(asked);
          throw error;
        });
      answers = Promise.allSettled(orders.map(arrive));
      await until('twelve to be refused', async () => {
        await db.owner.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
          [api.pool.options.application_name],
        );
        return refused.length >= 12;
      });
    });
    const found = await answers!;
    const lost = orders.filter((_, i) => found[i]!.status === 'rejected');
    expect(lost.length).toBeGreaterThanOrEqual(12);
    for (const answer of found) if (answer.status === 'rejected') expect(isDatabaseAway(answer.reason)).toBe(true);
    for (const { externalOrderNumber: n } of lost) expect(await inbox(n)).toEqual([]);
    expect(await Promise.all(lost.map((asked) => api.arrives(asked)))).toEqual(lost.map(() => 'ack'));
    for (const asked of orders) await expectFirst(asked);
  });

  it('whose commit is not heard of are all refused, and each is counted and signaled when it comes again', async () => {
    const address = new URL(db.urlFor('app_api'));
    const line = await lineTo({ host: address.hostname, port: Number(address.port) });
    onTestFinished(() => line.cut());
    address.port = String(line.port);
    const api = startReceiver(8, address.href);
    const [orders, warm] = [await sentOrders(40), await sentOrders(40)];
    const contents = new Map(orders.map((asked) => [asked, paid(asked)]));
    expect(await Promise.all(warm.map((asked) => api.arrives(asked)))).toEqual(warm.map(() => 'ack'));
    api.signaled.splice(0);
    line.deafen();
    const answers = Promise.allSettled(orders.map((asked) => api.arrives(asked, newStamp(), contents.get(asked))));
    const stored = await until('a batch to be stored', async () => {
      const { rows } = await db.owner.query<{ n: string }>(
        'select external_order_number as n from engine.callback where external_order_number = any($1)',
        [orders.map(({ externalOrderNumber }) => externalOrderNumber)],
      );
      return rows.length > 0 && rows.map(({ n }) => n);
    });
    await line.cut();
    for (const answer of await answers) {
      expect(answer.status).toBe('rejected');
      expect(isDatabaseAway((answer as PromiseRejectedResult).reason)).toBe(true);
    }
    expect(api.signaled).toEqual([]);
    await line.mend();
    for (const asked of orders) expect(await api.arrives(asked, newStamp(), contents.get(asked))).toBe('ack');
    expect(api.signaled).toEqual(orders.map(({ externalOrderNumber }) => externalOrderNumber));
    const attempts = await Promise.all(
      orders.map(async (asked) => (await inbox(asked.externalOrderNumber))[0]?.attempts),
    );
    for (const [i, asked] of orders.entries()) await expectFirst(asked, attempts[i] === 2 ? 2 : 1);
    expect(attempts.filter((n) => n === 2).length).toBeGreaterThanOrEqual(stored.length);
  });

  it('and a thousand times the same one are counted; one more is refused, and not lost in the count', async () => {
    const api = startReceiver();
    const [asked] = await sentOrders(1);
    const [at, data] = [newStamp(), paid(asked!)];
    let answers: Promise<string>[] = [];
    await inTransaction(db.owner, async (client) => {
      await client.query('select from engine.deposit where external_order_number = $1 for update', [
        asked!.externalOrderNumber,
      ]);
      answers = [api.arrives(asked!, at, data)];
      await waitForLocks(api);
      answers.push(...Array.from({ length: 1_001 }, () => api.arrives(asked!, at, data)));
    });
    const found = await Promise.all(answers);
    expect(found.filter((answer) => answer === 'ack')).toHaveLength(1_001);
    expect(found.filter((answer) => answer === 'unavailable')).toHaveLength(1);
    await expectFirst(asked!, 1_001);
    expect(api.alarms()).toEqual(['callback_not_stored']);
  });

  it('that come again at once, with new stamps, are counted', async () => {
    const api = startReceiver();
    const orders = await sentOrders(20);
    await Promise.all(orders.map((asked) => api.arrives(asked)));
    // The same content: a transaction code is made for each payment.
    const contents = new Map(orders.map((asked) => [asked, paid(asked)]));
    const other = await Promise.all(orders.map((asked) => api.arrives(asked, newStamp(), contents.get(asked))));
    expect(other).toEqual(orders.map(() => 'ack'));
    expect(await Promise.all(orders.map((asked) => api.arrives(asked, newStamp(), contents.get(asked))))).toEqual(
      other,
    );
    for (const { externalOrderNumber: n } of orders)
      expect(await inbox(n)).toEqual([FIRST, { receipt: 'other_content', acked: true, attempts: 2, bound: false }]);
  });

  it('of two processes, with shared stamps and several contents, are each acknowledged and counted once', async () => {
    const apis = [startReceiver(8), startReceiver(8)];
    const orders = await sentOrders(30);
    const stamps = Array.from({ length: 4 }, () => newStamp());
    const contents = orders.flatMap((asked) => [paid(asked), paid(asked)].map((data) => ({ asked, data })));
    const acked = new Map<CallbackData, number>();
    const waves = fc.sample(fc.shuffledSubarray(contents, { minLength: contents.length / 2 }), 12);
    await Promise.all(
      waves.flatMap((wave, i) =>
        wave.map(async ({ asked, data }, j) => {
          const answer = await apis[i % 2]!.arrives(asked, stamps[(i + j) % 4], data);
          if (answer === 'ack') acked.set(data, (acked.get(data) ?? 0) + 1);
        }),
      ),
    );
    for (const { asked, data } of contents) {
      const { rows } = await db.owner.query(
        'select c.acked, c.attempts from engine.callback c where c.external_order_number = $1 and c.content_hash = $2',
        [asked.externalOrderNumber, contentHash(data)],
      );
      expect(rows).toEqual(acked.has(data) ? [{ acked: true, attempts: acked.get(data)! }] : []);
    }
    for (const { externalOrderNumber: n } of orders)
      expect((await inbox(n)).filter(({ bound }) => bound as boolean)).toHaveLength(1);
  });
});
