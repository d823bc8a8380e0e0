import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FIRST_PAUSE_MS } from '../../activities/attempt.ts';
import { placeOrder, settlePlacement } from '../../activities/placement.ts';
import { adoptDeposit, findDeposit } from '../../database/queries/deposits.ts';
import { openAttempt, settleAttempt } from '../../database/queries/placements.ts';
import { isOnGrid } from '../../providers/own-stamps.ts';
import { settings } from '../support/builders.ts';
import type { ProviderName } from '../../domain/order.ts';
import { until } from '../support/until.ts';
import { PLACED } from '../support/workflows/provider.ts';
import { SECOND, SIGNATURE_ERROR, UNKNOWN, inTurn, refused, timestampError, startPlacing } from './placing.ts';

const { db, pool, start, reserved, attemptsOf } = await startPlacing();

/** The possible results of one call to the provider, and whether an order may exist afterwards. */
const SAYINGS = {
  placed: { answer: () => PLACED, mayExist: true },
  unknown: { answer: () => UNKNOWN, mayExist: true },
  parameter: { answer: () => refused('PARAMETER_ERROR'), mayExist: false },
  signature: { answer: () => SIGNATURE_ERROR, mayExist: false },
  timestamp: { answer: () => timestampError(), mayExist: false },
  clock: { answer: () => timestampError(6 * 60_000), mayExist: false },
} as const;

it('an order is never placed twice and its attempts end, whatever the provider says in turn', async () => {
  const saying = fc.constantFrom(...(Object.keys(SAYINGS) as (keyof typeof SAYINGS)[]));
  const script = fc.array(saying, { minLength: 5, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(script, fc.constantFrom(0, SECOND, 60 * SECOND), async (sayings, gridMs) => {
      const { deps, calls } = start(inTurn(...sayings.map((name) => SAYINGS[name].answer)), gridMs);
      const number = await reserved();
      const placement = await placeOrder(deps, number);
      expect(await placeOrder(deps, number)).toEqual(placement);
      const said = sayings.slice(0, calls.length);
      expect(said.slice(0, -1).filter((name) => SAYINGS[name].mayExist)).toEqual([]);
      // At most one refused signature and two refused timestamps are followed by another call.
      expect(calls.length).toBeLessThanOrEqual(gridMs === 0 ? 2 : 3);
      expect(calls.map((call) => isOnGrid(call.timestampMs, gridMs))).toEqual(
        calls.map((_, i) => gridMs > 0 && i === 0),
      );
      const last = said.at(-1)!;
      const kind = last === 'placed' || last === 'unknown' ? last : 'refused';
      expect(placement.kind).toBe(kind);
      if (last === 'signature') expect(placement).toMatchObject({ reason: 'SIGNATURE_ERROR' });
      if (last === 'timestamp' || last === 'clock') expect(placement).toMatchObject({ reason: 'NOT_SENT' });
    }),
    { numRuns: 150, seed: 20_260_301 },
  );
});

describe('a row that was adopted while the answer was under way', () => {
  const shown = async (number: string) => (await findDeposit(pool, number))!;

  it('waits for its payment as its workflows do, with the window that they are told', async () => {
    const number = await reserved();
    const { deps, calls } = start(async () => {
      expect(await adoptDeposit(pool, number)).toBe(true);
      return PLACED;
    });
    const placement = await placeOrder(deps, number);
    const row = await shown(number);
    expect(row).toMatchObject({ state: 'AWAITING_PAYMENT', redirectUrl: PLACED.redirectUrl });
    const redirectHash = createHash('sha256').update(PLACED.redirectUrl).digest('hex');
    expect(placement).toMatchObject({ kind: 'placed', expiresAt: row.expiresAt!.toISOString(), redirectHash });
    expect(await placeOrder(deps, number)).toEqual(placement);
    expect(await shown(number)).toEqual(row);
    expect(calls).toHaveLength(1);
  });

  it.each(Object.entries({ placeOrder, settlePlacement }))(
    'and whose worker died then, likewise: %s',
    async (_, next) => {
      const externalOrderNumber = await reserved();
      await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
      await adoptDeposit(pool, externalOrderNumber);
      await settleAttempt(pool, externalOrderNumber, 1, PLACED);
      const placement = await next(start().deps, externalOrderNumber);
      const { state, expiresAt, listeningUntil } = await shown(externalOrderNumber);
      expect(state).toBe('AWAITING_PAYMENT');
      expect(placement).toMatchObject({ kind: 'placed', expiresAt: expiresAt!.toISOString() });
      expect(listeningUntil!.getTime() - expiresAt!.getTime()).toBe(settings().listeningWindowMs);
    },
  );
});

it('is placed at the provider that its history names, and at MTPay where it names none', async () => {
  const [here, there] = [start(), start()];
  const providers = { mtpay: here.deps.providers.mtpay, other: there.deps.providers.mtpay };
  for (const named of [{}, { provider: 'mtpay' }, { provider: 'other' }] as { readonly provider: ProviderName }[]) {
    const number = await reserved();
    const reservedAt = (await findDeposit(pool, number))!.createdAt.toISOString();
    const placed = placeOrder({ ...here.deps, providers }, number, { startedAt: reservedAt, reservedAt, ...named });
    expect(await placed).toMatchObject({ kind: 'placed' });
  }
  expect([here.calls.length, there.calls.length]).toEqual([2, 1]);
});

describe('the row that a workflow was started for', () => {
  const DAYS = 24 * 3_600_000;
  const createdAt = async (number: string) => (await findDeposit(pool, number))!.createdAt;
  const before = (at: Date, ms: number) => new Date(at.getTime() - ms).toISOString();

  it.each([-3 * DAYS, -20 * 60_000, 20 * 60_000, 3 * DAYS])(
    'is placed, by however much the clocks of Temporal and the database differ: %i ms',
    async (offMs) => {
      const { deps, calls } = start();
      const number = await reserved();
      const at = await createdAt(number);
      const started = { startedAt: before(at, offMs), reservedAt: at.toISOString() };
      expect(await placeOrder(deps, number, started)).toMatchObject({ kind: 'placed' });
      expect(calls).toHaveLength(1);
    },
  );

  it('is another one after a restore: nothing is sent, however young it is', async () => {
    const { deps, calls } = start();
    const number = await reserved();
    const at = await createdAt(number);
    const started = { startedAt: at.toISOString(), reservedAt: before(at, 1) };
    expect(await placeOrder(deps, number, started)).toMatchObject({ kind: 'unknown' });
    expect(calls).toEqual([]);
  });
});

/** A pool whose database can be away for a while, as in a failover. */
function failing(of: typeof pool) {
  let away = false;
  const refuse = () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
  const proxied = new Proxy(of, {
    get(target, name) {
      if (away && (name === 'query' || name === 'connect')) return refuse;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
  const goAway = (ms: number) => {
    away = true;
    setTimeout(() => (away = false), ms);
  };
  return { pool: proxied, goAway };
}

describe('an attempt that another run holds', () => {
  it('is waited for, and no second order is sent', async () => {
    const externalOrderNumber = await reserved();
    const held = { externalOrderNumber, n: 1, deadlineMs: 60_000, keyId: 'key', timestampMs: Date.now() };
    expect(await openAttempt(pool, held)).toBe(true);
    const { deps, calls } = start();
    const placing = placeOrder(deps, externalOrderNumber);
    await settleAttempt(pool, externalOrderNumber, 1, PLACED);
    expect(await placing).toMatchObject({ kind: 'placed' });
    expect(calls).toEqual([]);
  });

  it('and does not show is asked for with pauses, until the activity is canceled', async () => {
    const begin = 'engine.begin_attempt(text, integer, bigint, text, bigint)';
    const { rows } = await db.owner.query<{ text: string }>(
      `select pg_get_functiondef('${begin}'::regprocedure) as text`,
    );
    await db.owner.query(
      'create table engine.claim (at timestamptz default clock_timestamp()); grant insert on engine.claim to engine_owner',
    );
    await db.owner.query(
      `create or replace function engine.begin_attempt(of_order text, attempt integer, deadline_ms bigint, with_key text, stamp_ms bigint)
       returns boolean language sql volatile security definer set search_path = engine as $$ insert into claim default values; select false $$`,
    );
    onTestFinished(async () => {
      await db.owner.query(rows[0]!.text);
      await db.owner.query('drop table engine.claim');
    });
    const gaps = async () => {
      const { rows } = await db.owner.query<{ ms: string | null }>(
        'select extract(epoch from at - lag(at) over (order by at)) * 1000 as ms from engine.claim order by at offset 1',
      );
      return rows.map(({ ms }) => Number(ms));
    };
    const canceled = new AbortController();
    const { deps, calls } = start();
    const failed = expect(placeOrder(deps, await reserved(), undefined, canceled.signal)).rejects.toThrow('abort');
    await until('four claims', async () => (await gaps()).length >= 3);
    canceled.abort();
    await failed;
    expect((await gaps()).filter((ms) => ms < 0.9 * FIRST_PAUSE_MS)).toEqual([]);
    expect(calls).toEqual([]);
  });
});

describe('a database that is away for a moment', () => {
  const cut = Object.assign(new Error('terminating connection'), { code: '57P01' });

  it('before anything was tried refuses no order: it is placed, once', async () => {
    const { deps, calls } = start();
    let failures = 1;
    const clock = { ...deps.clock, read: () => (failures-- > 0 ? Promise.reject(cut) : deps.clock.read()) };
    const number = await reserved();
    expect(await placeOrder({ ...deps, clock }, number)).toMatchObject({ kind: 'placed' });
    expect(calls).toHaveLength(1);
    expect(await attemptsOf(number)).toMatchObject([{ kind: 'placed' }]);
  });

  it('when the provider answers costs no order: what it said is written down, once', async () => {
    const line = failing(pool);
    const { deps, calls } = start(() => {
      line.goAway(1_000);
      return PLACED;
    });
    const number = await reserved();
    expect(await placeOrder({ ...deps, pool: line.pool }, number)).toMatchObject({ kind: 'placed' });
    expect(calls).toHaveLength(1);
    expect(await attemptsOf(number)).toEqual([PLACED]);
    expect(await findDeposit(pool, number)).toMatchObject({
      state: 'AWAITING_PAYMENT',
      redirectUrl: PLACED.redirectUrl,
    });
  });

  it('when the provider’s time is learned costs no link, and sends no second order', async () => {
    const { deps, calls } = start(() => ({ ...PLACED, providerTimeMs: Date.now() }));
    const clock = { ...deps.clock, learn: () => Promise.reject(cut) };
    expect(await placeOrder({ ...deps, clock }, await reserved())).toMatchObject({ kind: 'placed' });
    expect(calls).toHaveLength(1);
  });

  it('when a refused stamp tells the provider’s time: it is learned all the same before the order is signed afresh', async () => {
    let offMs = 0;
    let failures = 2;
    const { deps, calls } = start(
      inTurn(() => timestampError(6 * 60_000)),
      0,
    );
    const clock = {
      read: () => Promise.resolve({ nowMs: Date.now() + offMs, skewMs: offMs }),
      learn: (toldMs: number) => {
        if (failures-- > 0) return Promise.reject(cut);
        offMs = toldMs - Date.now();
        return Promise.resolve(true);
      },
    };
    expect(await placeOrder({ ...deps, clock }, await reserved())).toMatchObject({ kind: 'placed' });
    expect(calls).toHaveLength(2);
    expect(calls[1]!.timestampMs - calls[0]!.timestampMs).toBeGreaterThan(5 * 60_000);
  });

  it('throws what is a defect of ours at once', async () => {
    const { deps } = start();
    const defect = new TypeError('no function');
    const clock = { ...deps.clock, read: () => Promise.reject(defect) };
    await expect(placeOrder({ ...deps, clock }, await reserved())).rejects.toBe(defect);
  });
});
