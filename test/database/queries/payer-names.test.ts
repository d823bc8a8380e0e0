import { describe, expect, it } from 'vitest';
import { findForPlacement, reserve } from '../../../database/queries/deposits.ts';
import { SHRED_BATCH, shredPayerNames } from '../../../database/queries/payer-names.ts';
import { inTransaction } from '../../../database/pool.ts';
import { order, reservation } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const HOUR_MS = 3_600_000;

/** A deposit with a name, of this state and this age. */
async function deposit(state: string, ageHours: number): Promise<string> {
  const made = order();
  const { externalOrderNumber } = made;
  await reserve(db.owner, reservation(made, { payerName: Buffer.from('sealed'), payerNameKey: 'k1' }));
  await byHand(
    db.owner,
    `update engine.deposit set state = $2, created_at = clock_timestamp() - $3 * interval '1 hour' where external_order_number = $1`,
    [externalOrderNumber, state, ageHours],
  );
  return externalOrderNumber;
}

async function hasName(externalOrderNumber: string): Promise<boolean> {
  const { rows } = await db.owner.query<{ name: Buffer | null; key: string | null }>(
    'select payer_name as name, payer_name_key as key from engine.deposit where external_order_number = $1',
    [externalOrderNumber],
  );
  const { name, key } = rows[0]!;
  expect(name === null, 'the name and its key go together').toBe(key === null);
  return name !== null;
}

describe("a payer's name", () => {
  it('is read by the worker while its order is being placed, and by nobody afterwards', async () => {
    const placing = await deposit('PLACING', 0);
    expect(await findForPlacement(worker, placing)).toMatchObject({
      payerName: Buffer.from('sealed'),
      payerNameKey: 'k1',
    });
    for (const state of ['AWAITING_PAYMENT', 'PLACEMENT_UNKNOWN', 'PLACEMENT_REFUSED', 'CREDITED', 'IN_REVIEW']) {
      const settled = await deposit(state, 0);
      expect(await findForPlacement(worker, settled)).toMatchObject({ payerName: null, payerNameKey: null });
      expect(await hasName(settled)).toBe(true);
    }
    await expect(worker.query('select payer_name from engine.deposit')).rejects.toMatchObject({ code: '42501' });
    await expect(worker.query('select payer_name_key from engine.deposit')).rejects.toMatchObject({ code: '42501' });
    for (const role of ['app_api', 'app_decisions', 'auditor'] as const) {
      for (const asked of [`engine.payer_name_for_placement('${placing}')`, `engine.shred_payer_names('0', 1)`]) {
        await expect(db.poolFor(role).query(`select ${asked}`), `${role} ${asked}`).rejects.toMatchObject({
          code: '42501',
        });
      }
    }
  });

  it('is erased with its key when the deposit is older than the retention, whatever became of it', async () => {
    const states = [
      'PLACEMENT_REFUSED',
      'PLACEMENT_UNKNOWN',
      'AWAITING_PAYMENT',
      'EXPIRED',
      'CREDITED',
      'IN_REVIEW',
      'UNPAID',
    ];
    const old = await Promise.all(states.map((state) => deposit(state, 25)));
    const young = await Promise.all(states.map((state) => deposit(state, 23)));
    expect(await shredPayerNames(worker, 24 * HOUR_MS)).toBe(old.length);
    expect(await Promise.all(old.map(hasName))).toEqual(states.map(() => false));
    expect(await Promise.all(young.map(hasName))).toEqual(states.map(() => true));
    expect(await shredPayerNames(worker, 24 * HOUR_MS)).toBe(0);
  });

  it('of an order still being placed is kept for a day, however short the retention', async () => {
    const [young, old] = [await deposit('PLACING', 23), await deposit('PLACING', 25)];
    await shredPayerNames(worker, 0);
    expect([await hasName(young), await hasName(old)]).toEqual([true, false]);
  });

  it('goes in batches, oldest first, and leaves what somebody else is at work on', async () => {
    await shredPayerNames(worker, 0);
    const [oldest, older, busy] = [
      await deposit('UNPAID', 30),
      await deposit('UNPAID', 29),
      await deposit('UNPAID', 31),
    ];
    const batch = (atMost: number) => worker.query(`select engine.shred_payer_names('1 hour', $1) as n`, [atMost]);
    await inTransaction(db.owner, async (client) => {
      await client.query('select from engine.deposit where external_order_number = $1 for update', [busy]);
      expect((await batch(1)).rows).toEqual([{ n: 1 }]);
      expect([await hasName(oldest), await hasName(older), await hasName(busy)]).toEqual([false, true, true]);
      expect((await batch(10)).rows).toEqual([{ n: 1 }]);
    });
    expect((await batch(10)).rows).toEqual([{ n: 1 }]);
    expect(SHRED_BATCH).toBeLessThanOrEqual(1000);
  });

  it('is erased once, however many workers are at it', async () => {
    await shredPayerNames(worker, 0);
    await Promise.all(Array.from({ length: 40 }, () => deposit('UNPAID', 30)));
    const shredded = await Promise.all(Array.from({ length: 8 }, () => shredPayerNames(worker, HOUR_MS)));
    expect(shredded.reduce((sum, n) => sum + n, 0)).toBe(40);
  });
});
