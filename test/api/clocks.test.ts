import { randomBytes } from 'node:crypto';
import type { Client } from '@temporalio/client';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { whereIs } from '../../intake/open-case.ts';
import { createReceiver } from '../../intake/receive-callback.ts';
import type { PlacementDependencies } from '../../activities/attempt.ts';
import { placeOrder } from '../../activities/placement.ts';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { findBound } from '../../database/queries/callbacks.ts';
import { findDeposit, reserve } from '../../database/queries/deposits.ts';
import { judge } from '../../domain/judge.ts';
import type { Order } from '../../domain/order.ts';
import { callbackUrl, capabilityKey } from '../../providers/callback-address.ts';
import { createProviderClock } from '../../providers/clock.ts';
import { createOwnStamps } from '../../providers/own-stamps.ts';
import { PROVIDERS } from '../../providers/providers.ts';
import { answering } from '../support/workflows/provider.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { order, paid, settings, reservation } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { memoryLog, raised } from './evidence.ts';
import { seal } from '../support/seals.ts';

/**
 * One order from placement to judgment, with the clock of the API, the worker, the database or the provider off. The
 * database is real; a function that precedes the built-in one in every search path shifts its clock.
 */
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 1_440 * MINUTE;
const WHO = ['api', 'worker', 'database', 'provider'] as const;
type Who = (typeof WHO)[number];

const db = await createTestDatabase();
await db.owner.query(`
  create schema clocks;
  create table clocks.off (by interval not null);
  insert into clocks.off values ('0');
  create function clocks.clock_timestamp() returns timestamptz language sql as
    'select pg_catalog.clock_timestamp() + by from clocks.off';
  grant usage on schema clocks to public;
  grant select on clocks.off to public;
  alter table engine.deposit alter created_at set default clocks.clock_timestamp();
  alter table engine.placement_attempt alter started_at set default clocks.clock_timestamp();
  alter table engine.callback alter received_at set default clocks.clock_timestamp();
  do $$ declare f regprocedure; begin
    for f in select p.oid from pg_proc p where p.pronamespace = 'engine'::regnamespace and p.prosecdef loop
      execute format('alter function %s set search_path = clocks, pg_catalog, engine, pg_temp', f);
    end loop; end $$;`);
const poolOf = (role: 'app_api' | 'app_worker') => {
  const pool = new pg.Pool({
    connectionString: db.urlFor(role),
    options: '-c TimeZone=UTC -c search_path=clocks,pg_catalog,engine',
  });
  afterAll(() => pool.end());
  return pool;
};
const [api, worker] = [poolOf('app_api'), poolOf('app_worker')];

const secret = () => new Secret(randomBytes(32));
const [mtpayKey, payerNameKey, capability] = [
  { accessKey: secret(), secretKey: secret() },
  secret(),
  capabilityKey(secret()),
];
const realMs = Date.now.bind(Date);
const off: Record<Who, number> = { api: 0, worker: 0, database: 0, provider: 0 };
const providerMs = () => Math.round(realMs() + off.provider);

beforeEach(async () => {
  await setApart('api', 0);
  await db.owner.query('delete from engine.provider_clock');
});

/** From now on this clock alone is wrong. */
async function setApart(who: Who, ms: number): Promise<void> {
  for (const one of WHO) off[one] = one === who ? ms : 0;
  await db.owner.query(`update clocks.off set by = $1 * interval '1 millisecond'`, [off.database]);
}

/** With that process's own clock on the wall. */
async function as<T>(who: 'api' | 'worker', work: () => Promise<T>): Promise<T> {
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => realMs() + off[who]);
  onTestFinished(() => void vi.restoreAllMocks());
  try {
    return await work();
  } finally {
    spy.mockRestore();
  }
}

/** Accepts a stamp that is at most two minutes off, and reports its time in either response. */
const provider = answering(async (_request, timestampMs) =>
  Math.abs(timestampMs - providerMs()) > 2 * MINUTE
    ? { kind: 'not_sent', cause: 'TIMESTAMP_ERROR', clock: { providerTimeMs: providerMs() } }
    : {
        kind: 'placed',
        redirectUrl: 'https://pay.example/1',
        advertisementCode: 'AD1',
        providerTimeMs: providerMs(),
      },
);

async function place(asked: Order) {
  const { externalOrderNumber } = asked;
  await reserve(api, reservation(asked, {}, payerNameKey));
  const { log, lines } = memoryLog();
  const deps: PlacementDependencies = {
    pool: worker,
    providers: { mtpay: provider },
    clock: createProviderClock(worker),
    stamps: createOwnStamps(1_000),
    capabilities: fixedKeyring(capability),
    payerNameKeys: fixedKeyring(payerNameKey),
    callbackBaseUrl: 'http://127.0.0.1:1',
    placeWithinMs: 120_000,
    callDeadlineMs: 5_000,
    log,
  };
  const { kind } = await as('worker', () => placeOrder(deps, externalOrderNumber));
  return { kind, alarms: new Set(raised(log, lines).map(({ alarm }) => alarm)) };
}

/** The provider's callback for a payment made just now. */
async function deliver(asked: Order) {
  const { externalOrderNumber } = asked;
  // Never one of our own stamps, which lie on a grid.
  const at = providerMs() - (providerMs() % 1_000) + 100;
  const { transactionAmount, paymentPrice, ...data } = paid(asked);
  const amounts = `"transactionAmount":${transactionAmount},"paymentPrice":${paymentPrice}`;
  const raw = `{"signature":"${sign(mtpayKey, at)}","timestamp":${at},"data":${JSON.stringify(data).slice(0, -1)},${amounts}}}`;
  const [kid, token] = callbackUrl('', capability, externalOrderNumber).split('/').slice(-2) as [string, string];
  const { log, lines } = memoryLog();
  const receiver = createReceiver({
    pool: api,
    provider: PROVIDERS.mtpay.createCallbacks(fixedKeyring(mtpayKey)),
    capabilities: fixedKeyring(capability),
    clock: createProviderClock(api),
    seal,
    signal: () => undefined,
    log,
  });
  const answer = await as('api', () => receiver.receive({ kid, token, raw: Buffer.from(raw) }));
  await new Promise((resolve) => setImmediate(resolve));
  const { rows } = await db.owner.query<{ receipt: string; reason: string | null }>(
    'select receipt, review_reason as reason from engine.callback where external_order_number = $1',
    [externalOrderNumber],
  );
  return { answer, row: rows[0], alarms: raised(log, lines).map(({ alarm }) => alarm) };
}

/** The outcome of the payment: operators get a case or an alarm for all but "credited". */
async function outcome(asked: Order): Promise<string> {
  const { answer, row, alarms } = await deliver(asked);
  if (answer === 'unauthorized') return `refused, ${alarms.join()}`;
  expect(answer).toBe('ack');
  if (row!.receipt !== 'first') return `${row!.reason}, ${alarms.join()}`;
  expect(alarms).toEqual([]);
  const { receivedAt, ...callback } = (await findBound(api, asked.externalOrderNumber))!;
  const { expiresAt } = (await findDeposit(api, asked.externalOrderNumber))!;
  const facts = { callback, receivedAt, expiresAt: expiresAt!.toISOString() };
  const { kind, late } = judge(settings(), asked, facts);
  return kind === 'credit' ? `credited${late ? ', late' : ''}` : kind;
}

const SMALL = [-110 * SECOND, 110 * SECOND];
const LARGE = [-20 * MINUTE, -3 * MINUTE, 3 * MINUTE, 20 * MINUTE, 3 * DAY];
const NOT_PLACED = 'not placed, placement_clock_skew';

/** A clock is off by so much from before the order on. Values that are not listed are credited in time. */
const ALWAYS: Partial<Record<Who, Record<number, string>>> = {
  database: { [-20 * MINUTE]: NOT_PLACED, [20 * MINUTE]: NOT_PLACED, [3 * DAY]: NOT_PLACED },
  provider: { [-20 * MINUTE]: NOT_PLACED, [20 * MINUTE]: NOT_PLACED, [3 * DAY]: NOT_PLACED },
};
/**
 * A clock goes wrong between the order and its payment. A database that is ahead equals a provider that is behind, and
 * the reverse.
 */
const SINCE: Partial<Record<Who, Record<number, string>>> = {
  database: {
    [-20 * MINUTE]: 'refused, callback_ahead',
    [-3 * MINUTE]: 'STAMP_AHEAD, callback_review',
    [3 * DAY]: 'credited, late',
  },
  provider: {
    [-20 * MINUTE]: 'STAMP_BEFORE_ORDER, callback_review',
    [3 * MINUTE]: 'STAMP_AHEAD, callback_review',
    [20 * MINUTE]: 'refused, callback_ahead',
    [3 * DAY]: 'refused, callback_ahead',
  },
};

describe.each(WHO)('the clock of the %s', (who) => {
  test.each([...SMALL, ...LARGE])('apart by %i ms all the time', async (ms) => {
    await setApart(who, ms);
    const asked = order();
    const placed = await place(asked);
    const became = placed.kind === 'placed' ? await outcome(asked) : `not placed, ${[...placed.alarms].join()}`;
    expect(became).toBe(ALWAYS[who]?.[ms] ?? 'credited');
  });

  test.each([...SMALL, ...LARGE])('apart by %i ms since the order was placed', async (ms) => {
    const asked = order();
    expect((await place(asked)).kind).toBe('placed');
    await setApart(who, ms);
    expect(await outcome(asked)).toBe(SINCE[who]?.[ms] ?? 'credited');
  });
});

test.each(LARGE)('a workflow that has ended is known as ended by an API whose clock is apart by %i ms', async (ms) => {
  await setApart('api', ms);
  const completed = async (agoMs: number) => {
    const described = { status: { name: 'COMPLETED' }, closeTime: new Date(realMs() - agoMs) };
    const client = {
      withDeadline: (_at: number, work: () => unknown) => work(),
      workflow: { getHandle: () => ({ describe: async () => described }) },
    } as unknown as Client;
    return as('api', () => whereIs({ client, pool: api }, 'deposit:1', MINUTE));
  };
  expect(await completed(10 * MINUTE)).toBe('ended');
  expect(await completed(SECOND)).toBe('running');
});

test.each([
  ['RUNNING', 'running'],
  ['PAUSED', 'running'],
  ['TERMINATED', 'stopped'],
])('a workflow that is %s counts as %s', async (name, where) => {
  const client = {
    withDeadline: (_at: number, work: () => unknown) => work(),
    workflow: { getHandle: () => ({ describe: async () => ({ status: { name }, closeTime: null }) }) },
  } as unknown as Client;
  expect(await whereIs({ client, pool: api }, 'deposit:1', MINUTE)).toBe(where);
});
