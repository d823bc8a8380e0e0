import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { creditAll } from '../../ledger/credit.ts';
import { transactionCode } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import {
  balanceOf,
  call,
  expectCleanBooks,
  facts,
  faultsOf,
  newWallet,
  payment,
  payments,
  type Posted,
} from './payments.ts';

/** The ledger's own functions for what people decide; the engine's reviews will call them. */
const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const decisions = db.poolFor('app_decisions');
const auditor = db.poolFor('auditor');

async function park(
  change: Record<string, string | null> = {},
): Promise<{ id: string; deposit: string; wallet: string }> {
  const { item } = await payment(db.owner);
  const [parked] = await call(worker, 'park', [
    facts(item, { key: `suspense:mtpay:${item.transactionCode}`, ...change }),
  ]);
  expect(parked!.outcome).toBe('posted');
  return { id: parked!.id!, deposit: item.deposit, wallet: item.wallet };
}

let cases = 0;
async function release(of: string, deposit: string, wallet: string, change: { key?: string; fee?: string } = {}) {
  cases += 1;
  const { rows } = await decisions.query<Posted>(
    `select outcome, id from ledger.release($1, $2, $3, $4, $5, 'review:1', 'alice+bob', 'paid twice, wanted')`,
    [change.key ?? `review:${cases}:release`, of, deposit, wallet, change.fee ?? '0'],
  );
  return rows[0]!;
}
async function reverse(of: string, keep: boolean, key?: string, pool: pg.Pool = decisions) {
  cases += 1;
  const { rows } = await pool.query<Posted>(
    `select outcome, id from ledger.reverse($1, $2, $3, 'review:1', 'alice+bob', 'not ours')`,
    [key ?? `review:${cases}:reverse`, of, keep],
  );
  return rows[0]!;
}
const suspense = () => balanceOf(auditor, 'suspense:mtpay');
const wallet = (name: string) => balanceOf(auditor, `wallet:${name}`);
const openCases = async () => (await auditor.query<{ id: string }>('select id from ledger.suspense_open')).rows;

describe('parked money', () => {
  it('is on the books and in no wallet until people decide', async () => {
    const before = Number(await suspense());
    const parked = await park();
    expect(Number(await suspense())).toBe(before - 5000);
    expect(await wallet(parked.wallet)).toBe('0');
    expect(await openCases()).toContainEqual({ id: parked.id });
  });

  it('uses up its code: the same money cannot be credited as well', async () => {
    const { item } = await payment(db.owner);
    await call(worker, 'park', [facts(item, { key: `suspense:mtpay:${item.transactionCode}` })]);
    expect(await creditAll(worker, [item])).toMatchObject([{ outcome: 'conflict' }]);
    expect(await wallet(item.wallet)).toBe('0');
  });

  it('may be of no deposit we know', async () => {
    const parked = await park({ deposit: null });
    expect(await openCases()).toContainEqual({ id: parked.id });
  });

  it('takes no fee', async () => {
    const { item } = await payment(db.owner);
    const parked = facts(item, { key: `suspense:mtpay:${item.transactionCode}`, fee: '1' });
    await expect(call(worker, 'park', [parked])).rejects.toMatchObject({ code: '23514' });
  });

  it('is parked once, however often it comes', async () => {
    const { item } = await payment(db.owner);
    const parked = facts(item, { key: `suspense:mtpay:${item.transactionCode}` });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(worker, 'park', [parked])));
    expect(answers.flat().filter((answer) => answer.outcome === 'posted')).toHaveLength(1);
    expect(answers.flat().filter((answer) => answer.outcome === 'duplicate')).toHaveLength(19);
  });
});

describe('a release', () => {
  it('moves the money into the wallet, less our fee, and closes the case', async () => {
    const before = Number(await suspense());
    const fees = Number(await balanceOf(auditor, 'fees'));
    const parked = await park();
    expect(await release(parked.id, parked.deposit, parked.wallet, { fee: '12.5' })).toMatchObject({
      outcome: 'posted',
    });
    expect(await wallet(parked.wallet)).toBe('-4987.5');
    expect(Number(await balanceOf(auditor, 'fees'))).toBe(fees - 12.5);
    expect(Number(await suspense())).toBe(before);
    expect(await openCases()).not.toContainEqual({ id: parked.id });
  });

  it('happens once: the same again is a duplicate, another one a conflict, and neither moves anything', async () => {
    const parked = await park();
    const { id } = await release(parked.id, parked.deposit, parked.wallet, { key: 'review:once:release' });
    expect(await release(parked.id, parked.deposit, parked.wallet, { key: 'review:once:release' })).toEqual({
      outcome: 'duplicate',
      id,
    });
    expect(await release(parked.id, parked.deposit, newWallet())).toEqual({ outcome: 'conflict', id });
    expect(await reverse(parked.id, false)).toEqual({ outcome: 'conflict', id });
    expect(await wallet(parked.wallet)).toBe('-5000');
  });

  it('or a rejection, decided twenty times at once, happens once', async () => {
    const parked = await park();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? release(parked.id, parked.deposit, parked.wallet) : reverse(parked.id, false),
      ),
    );
    expect(answers.filter((answer) => answer.outcome === 'posted')).toHaveLength(1);
    expect(answers.filter((answer) => answer.outcome === 'conflict')).toHaveLength(19);
  });

  it('of what is not in suspense is refused', async () => {
    const one = await payment(db.owner);
    const [posted] = await creditAll(worker, [one.item]);
    await expect(release(posted!.postingId!, one.item.deposit, newWallet())).rejects.toMatchObject({ code: 'P0L04' });
    await expect(release('9000000000', one.item.deposit, newWallet())).rejects.toMatchObject({ code: 'P0L04' });
  });
});

describe('a reversal', () => {
  it('of parked money sends it back, and the case is closed', async () => {
    const before = [Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))];
    const parked = await park();
    expect(await reverse(parked.id, false)).toMatchObject({ outcome: 'posted' });
    expect([Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))]).toEqual(before);
  });

  it('of a credit to the wrong wallet keeps the money, which is then released to the right one', async () => {
    const one = await payment(db.owner);
    const right = newWallet();
    const [posted] = await creditAll(worker, [one.item]);
    const kept = await reverse(posted!.postingId!, true);
    expect(kept.outcome).toBe('posted');
    expect(await wallet(one.item.wallet)).toBe('0');
    expect(await openCases()).toContainEqual({ id: kept.id });
    expect(await release(kept.id!, one.item.deposit, right)).toMatchObject({ outcome: 'posted' });
    expect(await wallet(right)).toBe('-5000');
    expect(await wallet(one.item.wallet)).toBe('0');
    expect(await openCases()).not.toContainEqual({ id: kept.id });
  });

  it('leaves the automatic credit of its deposit used: a machine does not credit it again', async () => {
    const one = await payment(db.owner);
    const [posted] = await creditAll(worker, [one.item]);
    await reverse(posted!.postingId!, false);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'duplicate' }]);
    const again = facts(one.item, { key: `deposit:${one.item.deposit}:again`, provider_code: transactionCode() });
    expect(await call(worker, 'credit', [again])).toMatchObject([{ outcome: 'conflict' }]);
    expect(await wallet(one.item.wallet)).toBe('0');
  });

  it('can itself be reversed, once, and so on', async () => {
    const one = await payment(db.owner);
    const [posted] = await creditAll(worker, [one.item]);
    const first = await reverse(posted!.postingId!, false);
    const second = await reverse(first.id!, false);
    expect([first.outcome, second.outcome]).toEqual(['posted', 'posted']);
    expect(await wallet(one.item.wallet)).toBe('-5000');
    expect(await reverse(first.id!, false)).toEqual({ outcome: 'conflict', id: second.id });
    expect(await reverse(posted!.postingId!, true)).toEqual({ outcome: 'conflict', id: first.id });
    expect(await wallet(one.item.wallet)).toBe('-5000');
  });

  it('of nothing is refused', async () => {
    await expect(reverse('9000000000', false)).rejects.toMatchObject({ code: 'P0L04' });
  });

  it('and a release need somebody who decides, and a reason', async () => {
    const parked = await park();
    for (const [actor, reason] of [
      [null, 'because'],
      ['alice+bob', null],
      ['alice+bob', ''],
      ['', 'because'],
      ['alice and bob', 'because'],
    ]) {
      const decided = decisions.query(`select ledger.reverse('review:who:reverse', $1, false, 'review:1', $2, $3)`, [
        parked.id,
        actor,
        reason,
      ]);
      await expect(decided).rejects.toMatchObject({ code: '23514' });
    }
    expect(await openCases()).toContainEqual({ id: parked.id });
  });
});

describe('everything at once', () => {
  it('is whole in every snapshot and afterwards', async () => {
    const some = await payments(db.owner, 48);
    const work = some.map(({ item }, i) => async () => {
      if (i % 3 === 0) return creditAll(worker, [item]);
      if (i % 3 === 1) {
        const [credited] = await creditAll(worker, [item]);
        const kept = await reverse(credited!.postingId!, true);
        return release(kept.id!, item.deposit, some[0]!.item.wallet, { fee: '0.00000001' });
      }
      const [parked] = await call(worker, 'park', [facts(item, { key: `suspense:mtpay:${item.transactionCode}` })]);
      return i % 2 === 0 ? reverse(parked!.id!, false) : release(parked!.id!, item.deposit, item.wallet);
    });
    const storm = { over: false };
    const watcher = (async () => {
      let looks = 0;
      for (; !storm.over || looks === 0; looks += 1) expect(await snapshot()).toEqual([]);
      return looks;
    })();
    // Whatever was credited is asked for once more at the same time.
    const rivals = some.filter((_, i) => i % 3 !== 2).map(({ item }) => creditAll(worker, [item]));
    await Promise.all([...work.map((one) => one()), ...rivals]);
    storm.over = true;
    expect(await watcher).toBeGreaterThan(0);
    await expectCleanBooks(auditor);
  });

  async function snapshot(): Promise<string[]> {
    const client = await auditor.connect();
    try {
      await client.query('begin isolation level repeatable read');
      const { rows } = await client.query<{ sum: string }>('select sum(amount)::text as sum from ledger.balance');
      return [
        ...(Number(rows[0]!.sum) === 0 ? [] : [`the balances add up to ${rows[0]!.sum}`]),
        ...(await faultsOf(client)),
      ];
    } finally {
      await client.query('rollback');
      client.release();
    }
  }
});

it('after all that was decided, the books are whole', () => expectCleanBooks(auditor));
