import { afterAll, expect, test } from 'vitest';
import { depositWorkflowId } from '../../domain/ids.ts';
import { tellPlans } from '../growth/watch-plans.ts';
import { createTestDatabase, required } from '../support/database.ts';
import { launchEngine } from '../support/engine.ts';
import { countTrips, nameOf, type Trip } from '../support/trips.ts';
import { until } from '../support/until.ts';

/**
 * The round trips of one deposit on the happy path to PostgreSQL, counted and never timed.
 * - Each line is a round trip, with the number of statements executed (those in functions and triggers too).
 * - A line more, or a larger number, is a cost of every deposit from then on.
 * - When a line goes, remove it here.
 */
const COST = {
  create: {
    'deposit-api-private': ['engine.caller() 2', 'insert engine.deposit 2', 'select engine.deposit 1'],
    'deposit-worker': ['select engine.deposit 2', 'engine.begin_attempt() 5', 'engine.conclude_attempt() 13'],
  },
  credit: {
    'deposit-api-callbacks': ['engine.receive_firsts() 10'],
    'deposit-api-relay': ['engine.raised() 2'],
    'deposit-worker': ['select engine.callback 1', 'engine.credit() 30'],
  },
  sum: { trips: 10, transactions: 10, planned: 0, statements: 68 },
};

const LOOK = 'select engine.deposit 1';
const HOUR = 3_600_000;
/** Retries of a slow machine are excluded: the cheapest of so many counts. */
const DEPOSITS = 8;
/** Where placing takes longer, the API looks at the row again: intake/placement-waiter.ts. */
const LOOK_MS = 500;

const db = await createTestDatabase();
await tellPlans(db.owner, db.url, false);
const counting = countTrips();
afterAll(() => counting.stop());
// No process polls open rows: only the one deposit costs anything.
const { engine, stop } = await launchEngine(db, required('TEST_WORKFLOW_BUNDLE'), {
  relay: { everyMs: HOUR, freshMs: HOUR, againMs: HOUR, unstartedMs: HOUR, lagMs: 6 * HOUR, withoutEffectMs: 4 * HOUR },
});
afterAll(stop);

test('a deposit costs the round trips, transactions and statements that are written down here', async () => {
  await costOfOne();
  let cheapest = await costOfOne();
  for (let n = 1; n < DEPOSITS && !equals(cheapest, COST); n += 1) {
    const next = await costOfOne();
    if (costsLess(next.sum, cheapest.sum)) cheapest = next;
  }
  expect(cheapest).toEqual(COST);
});

/** A connection plans each statement once: deposits are created until all their statements are planned. */
const costsLess = (one: typeof COST.sum, other: typeof COST.sum): boolean =>
  one.trips < other.trips || (one.trips === other.trips && one.planned < other.planned);

const equals = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

async function costOfOne() {
  counting.take();
  const startedMs = performance.now();
  const created = await engine.create();
  const looks = Math.floor((performance.now() - startedMs) / LOOK_MS);
  expect(created.status).toBe(201);
  const { externalOrderNumber } = created.body;
  const handle = engine.client.workflow.getHandle(depositWorkflowId(externalOrderNumber));
  await until('its placement to be recorded', async () =>
    ((await handle.fetchHistory()).events ?? []).some((event) => event.timerStartedEventAttributes),
  );
  const create = withoutLooks(counting.take(), looks);
  await engine.pay(externalOrderNumber);
  await handle.result();
  await until('its callback to be noted as raised', async () => {
    const { rowCount } = await db.owner.query(
      'select from engine.callback where external_order_number = $1 and raised_at is not null and outcome is not null',
      [externalOrderNumber],
    );
    return rowCount === 1;
  });
  const credit = counting.take();
  const all = [...create, ...credit].filter(isOurs);
  return {
    create: linesOf(create),
    credit: linesOf(credit),
    sum: {
      trips: all.length,
      transactions: all.filter(({ isLast }) => isLast).length,
      planned: all.filter(({ isPlanned }) => isPlanned).length,
      statements: all.reduce((sum, { statements }) => sum + statements, 0),
    },
  };
}

/** Leaves out polls of the API beyond those that it makes when notified in time: at most `atMost`. */
function withoutLooks(trips: readonly Trip[], atMost: number): Trip[] {
  const isLook = ({ by, text, statements }: Trip) =>
    by === 'deposit-api-private' && `${nameOf(text)} ${statements}` === LOOK;
  const usual = COST.create['deposit-api-private'].filter((line) => line === LOOK).length;
  let more = Math.min(atMost, trips.filter(isLook).length - usual);
  return trips.filter((trip) => !(isLook(trip) && more-- > 0));
}

/** Excludes the test's own connections, the sandbox, and the loop that publishes the events of many deposits at once. */
const isOurs = ({ by, text }: Trip): boolean => by.startsWith('deposit-') && nameOf(text) !== 'engine.publish_events()';

/** By process, in order. */
function linesOf(trips: readonly Trip[]): Record<string, string[]> {
  const names = [...new Set(trips.filter(isOurs).map(({ by }) => by))].toSorted();
  return Object.fromEntries(
    names.map((name) => [
      name,
      trips
        .filter((trip) => isOurs(trip) && trip.by === name)
        .map(({ text, statements }) => `${nameOf(text)} ${statements}`),
    ]),
  );
}
