import proto from '@temporalio/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { receiveFirsts } from '../../../database/queries/callbacks.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { arrives, opened, operator, placed } from '../../api/decisions.ts';
import { delivered } from '../../api/parts.ts';
import { paid, transactionCode } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { type Answer, startEngine } from '../../support/engine.ts';
import { assertInLanes } from '../../support/lanes.ts';
import { byHand } from '../../support/database.ts';
import { sealed } from '../../support/seals.ts';
import { until } from '../../support/until.ts';
import { eventsOf, resetTo, taskOf } from '../../support/workflows/reset.ts';

/**
 * Two deposits and three transaction codes, in any order and concurrently: first payments, repeats, second codes, one
 * code for two deposits, altered content, and operators who decide meanwhile. In every case money moves once. Real
 * Postgres, real workflows, real HTTP.
 */
const engine = await startEngine();
const alice = await operator(engine, 'alice');
const bob = await operator(engine, 'bob');

interface Throw {
  readonly to: 0 | 1;
  readonly code: 0 | 1 | 2;
  readonly content: 'fits' | 'other times' | 'other amount';
  readonly times: number;
}
const throws = fc.array(
  fc.record({
    to: fc.constantFrom<0 | 1>(0, 1),
    code: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
    content: fc.constantFrom<Throw['content']>('fits', 'fits', 'other times', 'other amount'),
    times: fc.integer({ min: 1, max: 4 }),
  }),
  { minLength: 2, maxLength: 8 },
);

let wallets = 0;

function say(order: Order, data: CallbackData): Promise<Answer> {
  return engine.callback(callbackAddress(engine, order.externalOrderNumber), callbackBody(engine, data));
}

function dataOf(order: Order, code: string, content: Throw['content']): CallbackData {
  const other = {
    fits: {},
    'other times': { paymentFinishedTime: '2021-07-01T00:06:00' },
    'other amount': { transactionAmount: '4999' },
  }[content];
  return paid(order, { transactionCode: code, ...other });
}

/** Each acknowledged callback has its one outcome, and no deposit is in a passing state. */
async function settled(orders: readonly Order[]): Promise<void> {
  await until('every callback to have its outcome', async () => {
    const { rows } = await engine.db.owner.query(
      `select from engine.callback c where external_order_number = any($1) and outcome is null`,
      [orders.map((order) => order.externalOrderNumber)],
    );
    return rows.length === 0;
  });
}

async function expectMovedOnce(orders: readonly Order[], codes: readonly string[]): Promise<void> {
  const numbers = orders.map((order) => order.externalOrderNumber);
  const automatic = await engine.db.owner.query<{ n: number }>(
    `select count(*)::int as n from ledger.transaction where kind = 'credit' and deposit = any($1) group by deposit`,
    [numbers],
  );
  expect(automatic.rows.every((row) => row.n === 1)).toBe(true);
  const incoming = await engine.db.owner.query<{ n: number }>(
    `select count(*)::int as n from ledger.transaction where provider_code = any($1) group by provider_code`,
    [codes],
  );
  expect(incoming.rows.every((row) => row.n === 1)).toBe(true);
  // No wallet holds more than the genuine payments: each code at most once.
  const { rows } = await engine.db.owner.query<{ credited: string }>(
    `select coalesce(sum(amount), 0)::text as credited from ledger.transaction t
      where kind in ('credit', 'release') and deposit = any($1)`,
    [numbers],
  );
  expect(Number(rows[0]!.credited)).toBeLessThanOrEqual(5000 * codes.length);
}

test('T23: however callbacks and decisions interleave, a deposit is credited by a machine once and a code once', async () => {
  await assertInLanes(
    fc.asyncProperty(throws, fc.boolean(), async (sequence, decideMeanwhile) => {
      const race = (wallets += 1);
      const orders = [
        await placed(engine, { wallet: `race-${race}-a` }),
        await placed(engine, { wallet: `race-${race}-b` }),
      ];
      const codes = [transactionCode(), transactionCode(), transactionCode()];
      const all = sequence.flatMap(({ to, code, content, times }) =>
        Array.from({ length: times }, () =>
          delivered(() => say(orders[to]!, dataOf(orders[to]!, codes[code]!, content))),
        ),
      );
      const deciding = decideMeanwhile ? decideAll(orders) : Promise.resolve();
      for (const { status } of await Promise.all(all)) expect(status).toBe(200);
      await deciding;
      await settled(orders);
      await decideAll(orders);
      await expectMovedOnce(orders, codes);
    }),
    { numRuns: 15, lanes: 3 },
  );
  await engine.auditLedger();
});

/** Both operators credit every payment that may be credited, each proposing and confirming at once. */
async function decideAll(orders: readonly Order[]): Promise<void> {
  const { items } = await alice.list('?limit=200');
  const mine = items.filter((found: { externalOrderNumber: string }) =>
    orders.some((order) => order.externalOrderNumber === found.externalOrderNumber),
  );
  await Promise.all(
    mine.map(async ({ id }: { id: string }) => {
      await Promise.all([
        alice.propose(id, { decision: 'credit', reason: 'it is theirs' }),
        bob.propose(id, { decision: 'credit', reason: 'it is theirs' }),
      ]);
      const { proposal } = await alice.case(id);
      if (proposal === null) return;
      await Promise.all([alice.confirm(id, proposal.id), bob.confirm(id, proposal.id)]);
    }),
  );
}

test('T23: a hundred different callbacks for one deposit at once: one credit, every other is a case of its own', async () => {
  const order = await placed(engine, { wallet: 'race-hundred' });
  const answers = await Promise.all(Array.from({ length: 100 }, () => say(order, paid(order))));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
  expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  await settled([order]);
  const { rows } = await engine.db.owner.query<{ kind: string; n: number }>(
    `select kind, count(*)::int as n from ledger.transaction where deposit = $1 group by kind order by kind`,
    [order.externalOrderNumber],
  );
  const acked = statuses.filter((status) => status === 200).length;
  expect(rows.find((row) => row.kind === 'credit')).toEqual({ kind: 'credit', n: 1 });
  if (acked > 1) await opened(alice, order, 'SECOND_CODE', 'parked');
  expect((await engine.call('GET', '/v1/wallets/race-hundred')).body.balance).toBe('5000');
});

async function raisedAt({ externalOrderNumber: n }: Order): Promise<Date | null> {
  const { rows } = await engine.db.owner.query(
    'select raised_at from engine.callback where external_order_number = $1',
    [n],
  );
  return rows[0].raised_at;
}

test('a payment that waits in its workflow for a worker is told once; one that was never heard of is told again', async () => {
  const [waiting, unheard] = [await placed(engine), await placed(engine)];
  await engine.stopWorker();
  await arrives(engine, waiting);
  const first = await until('its workflow to accept it', () => raisedAt(waiting));
  await until('the relay to look at it again', async () => (await raisedAt(waiting))! > first);
  const { events } = await engine.client.workflow
    .getHandle(depositWorkflowId(waiting.externalOrderNumber))
    .fetchHistory();
  expect((events ?? []).filter((event) => event.workflowExecutionSignaledEventAttributes)).toHaveLength(1);
  await engine.startWorker();
  await engine.untilState(waiting.externalOrderNumber, 'CREDITED');

  const stamp = { keyId: 'key', timestampMs: Date.now() };
  const data = paid(unheard);
  const row = {
    externalOrderNumber: unheard.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from('{}'),
    receipt: 'first' as const,
    reviewReason: null,
  };
  const message = { ...sealed(row, stamp), stamp, ageMs: 0, sentByMs: stamp.timestampMs, copies: 1 };
  expect(await receiveFirsts(engine.db.poolFor('app_api'), [message])).toMatchObject([{ kind: 'first' }]);
  await byHand(
    engine.db.owner,
    'update engine.callback set raised_at = received_at where external_order_number = $1 and raised_at is null',
    [unheard.externalOrderNumber],
  );
  await engine.untilState(unheard.externalOrderNumber, 'CREDITED');
});

test('a workflow that is reset to before its payment while no worker is there is told of it again', async () => {
  const order = await placed(engine);
  const workflowId = depositWorkflowId(order.externalOrderNumber);
  const handle = engine.client.workflow.getHandle(workflowId);
  const isTold = async () => (await eventsOf(handle)).some((event) => event.workflowExecutionSignaledEventAttributes);
  const placing = await taskOf(handle, 'first');
  await engine.stopWorker();
  await arrives(engine, order);
  await until('its workflow to accept it', () => raisedAt(order));
  const { runId } = await handle.describe();
  await resetTo(engine.client.workflow, handle, runId, placing, {
    resetReapplyType: proto.temporal.api.enums.v1.ResetReapplyType.RESET_REAPPLY_TYPE_NONE,
    resetReapplyExcludeTypes: [proto.temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL],
  });
  await until('the relay to tell it, in its work', isTold);
  await engine.startWorker();
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
});
