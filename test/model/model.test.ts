import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { eventFaults } from '../support/events.ts';
import { crossCodes } from './crossing.ts';
import { runModel } from './run.ts';
import { measureDelay, runStorm } from './storm.ts';
import { openSite } from './world.ts';

const SEQUENCES = 300;
const STORM = 500;

test('every sequence of payments, decisions, doubts and crashes leaves the books as the reference has them', async () => {
  const db = await createTestDatabase();
  const site = openSite(db);
  const seed = Date.now() % 2 ** 31;
  const report = await runModel(site, { count: SEQUENCES, seed, lanes: 3 });
  await site.end();
  console.log(`seed ${seed}: ${report.sequences} sequences in ${report.seconds.toFixed(1)} s`);
  expect(report.failure ?? '').toBe('');
  expect(report.sequences).toBe(SEQUENCES);
  // Also in what is told of them: every posting once, and each event as the audit has it; windows were ended by hand.
  expect((await eventFaults(db.owner)).filter((fault) => !fault.includes('expiresAt'))).toEqual([]);
  // It cannot pass without any events.
  const { command = {}, tried = {} } = report.counts;
  expect(Object.values(command).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5 * SEQUENCES);
  expect(Object.keys(command)).toEqual(expect.arrayContaining(['machine once', 'decide', 'doubt', 'decide, at once']));
  expect(Object.keys(tried)).toEqual(
    expect.arrayContaining(['parked: credit', 'credited: reverse', 'unreadable: credit']),
  );
});

test('credits, decisions and callbacks at once on few deposits never wait for each other in a circle, and the books are right', async () => {
  const { deadlocks, deadlocksCounted, faults, did, transactions } = await runStorm(await createTestDatabase(), {
    count: STORM,
    seed: Date.now() % 2 ** 31,
  });
  expect(deadlocks).toBe(0);
  expect(deadlocksCounted).toBe(0);
  expect(faults).toEqual([]);
  expect(transactions).toBeGreaterThan(STORM);
  expect(did['credit posted']).toBeGreaterThan(0);
  expect(did['decision decided']).toBeGreaterThan(0);
});

test('batches that claim the same transaction codes crosswise never wait for each other in a circle', async () => {
  expect(await crossCodes(await createTestDatabase(), 20)).toBe(0);
});

test('a row that somebody holds does not delay the credit of another deposit in the same batch', async () => {
  const { free, besideHeldDeposit, besideHeldCallback } = await measureDelay(await createTestDatabase(), 7);
  // The locks are released only after the credit has returned: a credit that waits for them would take the lock timeout
  // of two seconds.
  expect(besideHeldDeposit).toBeLessThan(10 * free + 200);
  expect(besideHeldCallback).toBeLessThan(10 * free + 200);
});
