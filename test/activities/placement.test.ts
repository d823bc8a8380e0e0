import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacementDependencies } from '../../activities/attempt.ts';
import { placeOrder, settlePlacement } from '../../activities/placement.ts';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { adoptDeposit, findDeposit, reserve } from '../../database/queries/deposits.ts';
import { openAttempt, settleAttempt, type StoredAnswer } from '../../database/queries/placements.ts';
import { capabilityKey } from '../../providers/callback-address.ts';
import { createOwnStamps, isOnGrid } from '../../providers/own-stamps.ts';
import { sealName } from '../../encoding/payer-name.ts';
import type { PlacementOutcome } from '../../providers/port.ts';
import { memoryLog } from '../api/evidence.ts';
import { order, settings } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { answering } from '../support/provider.ts';
import type { ProviderName } from '../../domain/order.ts';

const db = await createTestDatabase();
const pool = db.poolFor('app_worker');
const SECOND = 1_000;

const secret = () => new Secret(randomBytes(32));
const payerNameKey = secret();

const PLACED = {
  kind: 'placed',
  redirectUrl: 'https://pay.example/checkout',
  advertisementCode: 'AD1',
  providerTimeMs: null,
} satisfies PlacementOutcome;
const refused = (code: 'SIGNATURE_ERROR' | 'PARAMETER_ERROR'): PlacementOutcome => ({
  kind: 'refused',
  code,
  message: 'no',
});
const SIGNATURE_ERROR = refused('SIGNATURE_ERROR');
const STORED = { kind: 'refused', statusCode: 'SIGNATURE_ERROR', message: 'no' };
const UNKNOWN: PlacementOutcome = { kind: 'unknown', cause: 'HTTP 502' };
/** `offMs`: how far the provider's clock is from ours, by the header of whole seconds; null: there is no header. */
const timestampError = (offMs: number | null = 0): PlacementOutcome => ({
  kind: 'not_sent',
  cause: 'TIMESTAMP_ERROR',
  clock: { providerTimeMs: offMs === null ? null : Math.floor((Date.now() + offMs) / SECOND) * SECOND },
});

interface Call {
  readonly externalOrderNumber: string;
  readonly timestampMs: number;
}

type Provider = (timestampMs: number) => PlacementOutcome | Promise<PlacementOutcome>;
/** Gives these answers in turn, then takes every order. */
function inTurn(...answers: readonly (() => PlacementOutcome)[]): Provider {
  const left = [...answers];
  return () => (left.shift() ?? (() => PLACED))();
}

/** A worker's process and its provider. */
function start(provider: Provider = inTurn(), gridMs = SECOND, nowMs: () => number = Date.now) {
  const calls: Call[] = [];
  const log = memoryLog();
  const deps: PlacementDependencies = {
    pool,
    providers: {
      mtpay: answering(async ({ externalOrderNumber }, timestampMs) => {
        calls.push({ externalOrderNumber, timestampMs });
        return provider(timestampMs);
      }),
    },
    clock: { read: () => Promise.resolve({ nowMs: nowMs(), skewMs: 0 }), learn: () => Promise.resolve(true) },
    stamps: createOwnStamps(gridMs),
    capabilities: fixedKeyring(capabilityKey(secret())),
    payerNameKeys: fixedKeyring(payerNameKey),
    callbackBaseUrl: 'http://127.0.0.1:1',
    placeWithinMs: 120_000,
    callDeadlineMs: 5_000,
    log: log.log,
  };
  const onGrid = () => calls.map((call) => isOnGrid(call.timestampMs, SECOND));
  const alarms = () => log.lines.map((line) => (JSON.parse(line) as { alarm: string }).alarm);
  return { deps, calls, onGrid, alarms };
}

async function reserved(): Promise<string> {
  const asked = order();
  const sealed = sealName(payerNameKey, asked.externalOrderNumber, 'Li Ming');
  await reserve(db.owner, {
    ...asked,
    supportLanguage: 'en',
    payerName: sealed.bytes,
    payerNameKey: sealed.keyId,
    fingerprint: randomBytes(32),
    settings: settings(),
  });
  return asked.externalOrderNumber;
}

async function attemptsOf(number: string): Promise<StoredAnswer[]> {
  const { rows } = await db.owner.query<{ answer: StoredAnswer }>(
    'select answer from engine.placement_attempt where external_order_number = $1 order by n',
    [number],
  );
  return rows.map((row) => row.answer);
}

describe('placements of one second', () => {
  const WHOLE = Math.floor(Date.now() / 1_000) * 1_000;
  const AT = WHOLE + 100;

  it('share one stamp, which is noted once, and each is placed by one call', async () => {
    const { deps, calls } = start(inTurn(), SECOND, () => AT);
    const numbers = await Promise.all(Array.from({ length: 20 }, () => reserved()));
    const placements = await Promise.all(numbers.map((number) => placeOrder(deps, number)));
    expect(placements.map((placement) => placement.kind)).toEqual(Array(20).fill('placed'));
    expect(calls.map((call) => call.externalOrderNumber).toSorted()).toEqual(numbers.toSorted());
    expect(new Set(calls.map((call) => call.timestampMs))).toEqual(new Set([WHOLE - 263]));
    const noted = await db.owner.query('select timestamp_ms from engine.own_stamp where key_id = $1', ['key']);
    expect(noted.rows).toEqual([{ timestamp_ms: String(WHOLE - 263) }]);
  });

  it('have the milliseconds they were made in where the grid is switched off', async () => {
    const { deps, calls } = start(inTurn(), 0, () => AT + 0.4);
    await placeOrder(deps, await reserved());
    expect(calls.map((call) => call.timestampMs)).toEqual([AT]);
  });
});

describe('a stamp on the grid that the provider refuses', () => {
  it.each([
    ['SIGNATURE_ERROR', () => SIGNATURE_ERROR, []],
    ['TIMESTAMP_ERROR', () => timestampError(), ['placement_clock_skew']],
    ['TIMESTAMP_ERROR without a time', () => timestampError(null), ['placement_clock_skew']],
  ] as const)(
    'with %s is followed by one free millisecond; when that places the order the process leaves the grid, and says so once',
    async (cause, refusal, alarms) => {
      let refusals = 0;
      let tell = (): void => undefined;
      const bothRefused = new Promise<void>((resolve) => (tell = resolve));
      const {
        deps,
        calls,
        onGrid,
        alarms: raised,
      } = start(async (timestampMs) => {
        if (isOnGrid(timestampMs, SECOND)) {
          if ((refusals += 1) === 2) tell();
          return refusal();
        }
        // Neither is placed before both were refused.
        await bothRefused;
        return PLACED;
      });
      const numbers = [await reserved(), await reserved()];
      const both = await Promise.all(numbers.map((number) => placeOrder(deps, number)));
      expect(both.map((placement) => placement.kind)).toEqual(['placed', 'placed']);
      expect(onGrid().filter((is) => is)).toHaveLength(2);
      expect(calls).toHaveLength(4);
      for (const number of numbers) {
        expect(await attemptsOf(number)).toEqual([
          { kind: 'not_sent', cause: cause.split(' ')[0], gridRefused: true },
          expect.objectContaining({ kind: 'placed' }),
        ]);
      }
      expect(raised().toSorted()).toEqual([...alarms, ...alarms, 'stamp_grid_refused']);

      const next = await reserved();
      expect(await placeOrder(deps, next)).toMatchObject({ kind: 'placed' });
      expect(calls.filter((call) => call.externalOrderNumber === next)).toHaveLength(1);
      expect(onGrid().at(-1)).toBe(false);
    },
  );

  it('is nudged when the free millisecond lies on the residue by chance', async () => {
    const onResidue = Math.floor(Date.now() / 1_000) * 1_000 + 737;
    const { deps, calls } = start(
      inTurn(() => SIGNATURE_ERROR),
      SECOND,
      () => onResidue,
    );
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(calls.map((call) => call.timestampMs)).toEqual([onResidue, onResidue + 1]);
  });

  it('because the provider’s clock is elsewhere is no reason to leave the grid', async () => {
    const { deps, onGrid, alarms } = start(inTurn(() => timestampError(6 * 60_000)));
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(onGrid()).toEqual([true, false, true]);
    expect(alarms()).toEqual(['placement_clock_skew']);
  });

  it('is not to blame when the free millisecond is refused as well: SIGNATURE_ERROR, the alarm, and the grid stays', async () => {
    const { deps, calls, onGrid, alarms } = start(
      inTurn(
        () => SIGNATURE_ERROR,
        () => SIGNATURE_ERROR,
      ),
    );
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await attemptsOf(number)).toEqual([
      { kind: 'not_sent', cause: 'SIGNATURE_ERROR', gridRefused: true },
      STORED,
    ]);
    expect(calls).toHaveLength(2);
    expect(new Set(alarms())).toEqual(new Set(['placement_refused_by_configuration']));
    await placeOrder(deps, await reserved());
    expect(onGrid()).toEqual([true, false, true]);
  });

  it('is not looked for where there is no grid: one call, and SIGNATURE_ERROR is the refusal', async () => {
    const { deps, calls } = start(
      inTurn(() => SIGNATURE_ERROR),
      0,
    );
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await attemptsOf(number)).toEqual([STORED]);
    expect(calls).toHaveLength(1);
  });

  it('and whose worker died there is found as SIGNATURE_ERROR with its alarm, closed, and never sent again', async () => {
    const { deps, calls, alarms } = start();
    const externalOrderNumber = await reserved();
    await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
    const refusal = { kind: 'not_sent', cause: 'SIGNATURE_ERROR', gridRefused: true } as const;
    await settleAttempt(pool, externalOrderNumber, 1, refusal);
    const found = { kind: 'refused', reason: 'SIGNATURE_ERROR' };
    expect(await settlePlacement(deps, externalOrderNumber)).toEqual(found);
    expect(alarms()).toEqual(['placement_refused_by_configuration']);
    expect(await placeOrder(deps, externalOrderNumber)).toEqual(found);
    expect(await attemptsOf(externalOrderNumber)).toEqual([refusal, { kind: 'closed', cause: 'SIGNATURE_ERROR' }]);
    expect(calls).toEqual([]);
  });

  it('and cannot be signed again, because the name is gone by then, is closed as the SIGNATURE_ERROR it is', async () => {
    const { deps, calls, alarms } = start();
    const externalOrderNumber = await reserved();
    await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
    await settleAttempt(pool, externalOrderNumber, 1, {
      kind: 'not_sent',
      cause: 'SIGNATURE_ERROR',
      gridRefused: true,
    });
    await db.owner.query('update engine.deposit set payer_name = null where external_order_number = $1', [
      externalOrderNumber,
    ]);
    expect(await placeOrder(deps, externalOrderNumber)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(alarms()).toEqual(['placement_refused_by_configuration']);
    expect(calls).toEqual([]);
  });

  it('by one process is remembered by the next one that tries: it signs with the free millisecond and leaves the grid', async () => {
    const { deps, onGrid, alarms } = start();
    const externalOrderNumber = await reserved();
    await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
    await settleAttempt(pool, externalOrderNumber, 1, {
      kind: 'not_sent',
      cause: 'SIGNATURE_ERROR',
      gridRefused: true,
    });
    expect(await placeOrder(deps, externalOrderNumber)).toMatchObject({ kind: 'placed' });
    expect(onGrid()).toEqual([false]);
    expect(alarms()).toEqual(['stamp_grid_refused']);
  });

  it('while another run has given it up as unknown is not signed again', async () => {
    const number = await reserved();
    const { deps, calls } = start();
    const slow: PlacementDependencies = {
      ...deps,
      providers: {
        mtpay: answering(async (request, timestampMs, call) => {
          await deps.providers.mtpay.prepare(request, timestampMs).send(call);
          await settleAttempt(pool, number, 1, { kind: 'unknown', cause: 'no answer by the deadline' });
          return SIGNATURE_ERROR;
        }),
      },
    };
    expect(await placeOrder(slow, number)).toMatchObject({ kind: 'unknown' });
    expect(await placeOrder(slow, number)).toMatchObject({ kind: 'unknown' });
    expect(calls).toHaveLength(1);
  });
});

describe('a refused timestamp', () => {
  it('is signed afresh once, also when the provider could not be reached before', async () => {
    const deadLine = (): PlacementOutcome => ({ kind: 'not_sent', cause: 'ECONNREFUSED' });
    const { deps, calls } = start(inTurn(deadLine, timestampError, timestampError));
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'NOT_SENT' });
    expect(calls).toHaveLength(3);
    expect((await attemptsOf(number)).at(-1)).toEqual({ kind: 'closed', cause: 'NOT_SENT' });
  });
});

/** What the provider may say to one call, and whether there may be an order afterwards. */
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
