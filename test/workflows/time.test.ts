import { expect, test } from 'vitest';
import { paid } from '../support/builders.ts';
import { cameEarlier } from '../support/seals.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/** The real windows, 30 minutes and 73 hours, on a server that skips time. */
const world = await startWorkflowWorld('time-skipping');

// The database's clock does not skip: here it lets every window end when the workflow ends it.
const { rows } = await world.db.owner.query<{ step: string }>(
  `select pg_get_functiondef('engine.deposit_step'::regproc) as step`,
);
await world.db.owner.query(rows[0]!.step.replace("interval '1 second'", "interval '1 year'"));

test('a deposit that is paid after its payment window is credited, and flagged late', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  const handle = await world.start(reserved);
  await world.sleep('31m');
  expect((await world.state(externalOrderNumber)).state).toBe('EXPIRED');
  const payment = await world.receive(paid(reserved.order));
  // The database's clock does not skip: the row is moved to the time it would have.
  const skippedMs = 31 * 60_000;
  await cameEarlier(world.db.owner, externalOrderNumber, -skippedMs, 'first');
  const receivedAt = new Date(Date.parse(payment.receivedAt) + skippedMs).toISOString();
  await world.signal(handle, { ...payment, receivedAt });
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: true });
  expect(await world.state(externalOrderNumber)).toMatchObject({ state: 'CREDITED', late: true });
  expect(await world.postings(externalOrderNumber)).toBe(1);
});

test('a deposit that is paid within its payment window is credited, and not late', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await world.sleep('29m');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: false });
});

test('a deposit listens for 73 hours after its payment window and not an hour less, then it is UNPAID', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  const handle = await world.start(reserved);
  await world.sleep('30m');
  await world.sleep('72h');
  expect((await world.state(externalOrderNumber)).state).toBe('EXPIRED');
  expect(await handle.result()).toMatchObject({ state: 'UNPAID', postingId: null });
  expect(await world.state(externalOrderNumber)).toMatchObject({ state: 'UNPAID' });
  expect(await world.postings(externalOrderNumber)).toBe(0);
});

test('the last retry of the provider, 68 h 20 min after the first, still finds the deposit listening', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await world.sleep('68h');
  await world.sleep('50m');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
});

test('a placement that stays unknown listens as long as one that was answered, then it is UNPAID', async () => {
  const reserved = await world.reserve();
  world.answers(reserved.order.externalOrderNumber, async () => ({ kind: 'unknown', cause: 'ECONNRESET' }));
  const handle = await world.start(reserved);
  await world.sleep('73h');
  expect((await world.state(reserved.order.externalOrderNumber)).state).toBe('PLACEMENT_UNKNOWN');
  expect(await handle.result()).toMatchObject({ state: 'UNPAID' });
});
