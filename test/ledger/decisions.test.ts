import { describe, expect, it } from 'vitest';
import { creditAll } from '../../ledger/credit.ts';
import { transactionCode } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { peoplesBooks } from './chains.ts';
import {
  balanceOf,
  call,
  creditUntilFree,
  expectCleanBooks,
  facts,
  faultsOf,
  newWallet,
  payment,
  payments,
} from './payments.ts';

/** The ledger's own functions for decisions of operators. */
const db = await createTestDatabase();
const { worker, books, auditor, park, release, reverse, giveBack, chainOf, standingOf } = peoplesBooks(db);

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
    await call(db.owner, 'park', [facts(item, { key: `suspense:mtpay:${item.transactionCode}` })]);
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
    await expect(call(db.owner, 'park', [parked])).rejects.toMatchObject({ code: '23514' });
  });

  it('is parked once, however often it comes', async () => {
    const { item } = await payment(db.owner);
    const parked = facts(item, { key: `suspense:mtpay:${item.transactionCode}` });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(db.owner, 'park', [parked])));
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
    const { id } = await release(parked.id, parked.deposit, parked.wallet, { key: 'after:once:release' });
    expect(await release(parked.id, parked.deposit, parked.wallet, { key: 'after:once:release' })).toEqual({
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

describe('a release of a part', () => {
  const open = async (id: string) =>
    (
      await auditor.query<{ amount: string }>(
        'select trim_scale(amount)::text as amount from ledger.suspense_open where id = $1',
        [id],
      )
    ).rows.map(({ amount }) => amount);
  const books = async () => ({
    suspense: Number(await suspense()),
    clearing: Number(await balanceOf(auditor, 'clearing:mtpay')),
  });

  it('leaves the rest in suspense, where it is an open case', async () => {
    const before = await books();
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { rest: '100.5' });
    expect(await wallet(parked.wallet)).toBe('-4899.5');
    expect(await books()).toEqual({ suspense: before.suspense - 100.5, clearing: before.clearing + 5000 });
    expect([await open(parked.id), await open(released.id!)]).toEqual([[], ['100.5']]);
    expect(await faultsOf(auditor)).toEqual([]);
  });

  it('is undone with its rest: all of it goes to the provider', async () => {
    const before = await books();
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { rest: '100.5' });
    expect(await reverse(released.id!, false)).toMatchObject({ outcome: 'posted' });
    expect([await wallet(parked.wallet), await books()]).toEqual(['0', before]);
    expect(await faultsOf(auditor)).toEqual([]);
  });

  it('is undone with its rest: all of it waits in suspense, for a wallet again', async () => {
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { rest: '100.5' });
    const kept = await reverse(released.id!, true);
    expect([await open(released.id!), await open(kept.id!)]).toEqual([[], ['5000']]);
    expect(await faultsOf(auditor)).toEqual([]);
    expect(await release(kept.id!, parked.deposit, parked.wallet)).toMatchObject({ outcome: 'posted' });
    expect(await wallet(parked.wallet)).toBe('-5000');
  });

  it('comes back with its rest', async () => {
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { rest: '100.5' });
    for (const keep of [true, false]) {
      const out = await reverse((await chainOf(released.id!)).tip, keep);
      const back = await reverse(out.id!, false);
      expect([await wallet(parked.wallet), await open(back.id!)]).toEqual(['-4899.5', ['100.5']]);
    }
    expect(await faultsOf(auditor)).toEqual([]);
  });

  it('has a rest between nothing and all of it', async () => {
    const parked = await park();
    for (const rest of ['0', '-1', '5000', '5001', '1.000000001']) {
      const released = release(parked.id, parked.deposit, parked.wallet, { rest });
      await expect(released, rest).rejects.toMatchObject({ code: '23514' });
    }
    expect(await open(parked.id)).toEqual(['5000']);
  });

  it('is another than the same with another rest: a conflict', async () => {
    const parked = await park();
    const part = { key: 'after:part', rest: '1' };
    const { id } = await release(parked.id, parked.deposit, parked.wallet, part);
    expect(await release(parked.id, parked.deposit, parked.wallet, part)).toEqual({ outcome: 'duplicate', id });
    for (const rest of [{ rest: '2' }, {}]) {
      const other = { key: 'after:part', ...rest };
      expect(await release(parked.id, parked.deposit, parked.wallet, other)).toEqual({ outcome: 'conflict', id });
    }
  });

  it('has its rest given to nobody as long as it stands: neither released nor given back by itself', async () => {
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { rest: '1' });
    await expect(release(released.id!, parked.deposit, newWallet())).rejects.toMatchObject({ code: 'P0L04' });
    await expect(giveBack(released.id!)).rejects.toMatchObject({ code: 'P0L04' });
  });
});

describe('a reversal', () => {
  it('of parked money sends it back, and the case is closed', async () => {
    const before = [Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))];
    const parked = await park();
    expect(await reverse(parked.id, false)).toMatchObject({ outcome: 'posted' });
    expect([Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))]).toEqual(before);
  });

  it('without keep of money that people had put into a wallet sends it to the provider: nothing stays with nobody', async () => {
    const before = [Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))];
    const parked = await park();
    const released = await release(parked.id, parked.deposit, parked.wallet, { fee: '12.5' });
    const fees = Number(await balanceOf(auditor, 'fees'));
    const reversed = await reverse(released.id!, false);
    expect(reversed.outcome).toBe('posted');
    expect([Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))]).toEqual(before);
    expect(await wallet(parked.wallet)).toBe('0');
    expect(Number(await balanceOf(auditor, 'fees'))).toBe(fees + 12.5);
    expect(await openCases()).not.toContainEqual({ id: reversed.id });
    expect(await chainOf(parked.id)).toEqual({ root: parked.id, tip: reversed.id, place: 'clearing:mtpay' });
  });

  it('with keep of money that people had put into a wallet leaves all of it in suspense', async () => {
    const parked = await park();
    const before = Number(await suspense());
    const released = await release(parked.id, parked.deposit, parked.wallet, { fee: '12.5' });
    const kept = await reverse(released.id!, true);
    expect(Number(await suspense())).toBe(before);
    expect(await openCases()).toContainEqual({ id: kept.id });
    expect(await chainOf(kept.id!)).toEqual({ root: parked.id, tip: kept.id, place: 'suspense:mtpay' });
  });

  it('with keep of what put nothing into a wallet is refused', async () => {
    const parked = await park();
    await expect(reverse(parked.id, true)).rejects.toMatchObject({ code: 'P0L04' });
    const back = await giveBack(parked.id);
    await expect(reverse(back.id!, true)).rejects.toMatchObject({ code: 'P0L04' });
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
    expect(await call(db.owner, 'credit', [again])).toMatchObject([{ outcome: 'conflict' }]);
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
      const decided = books.query(`select ledger.reverse('after:who', $1, false, 'review:1', $2, $3)`, [
        parked.id,
        actor,
        reason,
      ]);
      await expect(decided).rejects.toMatchObject({ code: '23514' });
    }
    expect(await openCases()).toContainEqual({ id: parked.id });
  });
});

describe('money in suspense that is given back', () => {
  it('goes to the provider, wherever it was before, and may be brought back', async () => {
    const before = [Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))];
    const parked = await park();
    const back = await giveBack(parked.id);
    expect(back.outcome).toBe('posted');
    expect([Number(await suspense()), Number(await balanceOf(auditor, 'clearing:mtpay'))]).toEqual(before);
    expect(await chainOf(parked.id)).toEqual({ root: parked.id, tip: back.id, place: 'clearing:mtpay' });
    const brought = await reverse(back.id!, false);
    expect(await chainOf(parked.id)).toEqual({ root: parked.id, tip: brought.id, place: 'suspense:mtpay' });
    expect(await openCases()).toContainEqual({ id: brought.id });
    expect(await release(brought.id!, parked.deposit, parked.wallet)).toMatchObject({ outcome: 'posted' });
    expect(await wallet(parked.wallet)).toBe('-5000');
  });

  it('that was taken out of a wallet goes to the provider and not back there', async () => {
    const one = await payment(db.owner);
    const [posted] = await creditAll(worker, [one.item]);
    const kept = await reverse(posted!.postingId!, true);
    const back = await giveBack(kept.id!);
    expect(await wallet(one.item.wallet)).toBe('0');
    expect(await chainOf(posted!.postingId!)).toEqual({
      root: posted!.postingId!,
      tip: back.id,
      place: 'clearing:mtpay',
    });
    expect(await standingOf(one.item.deposit)).toEqual([]);
  });

  it('goes once: the same again is a duplicate, a release after it a conflict', async () => {
    const parked = await park();
    const back = await giveBack(parked.id, { key: 'after:once' });
    expect(await giveBack(parked.id, { key: 'after:once' })).toEqual({ outcome: 'duplicate', id: back.id });
    expect(await giveBack(parked.id)).toEqual({ outcome: 'conflict', id: back.id });
    expect(await release(parked.id, parked.deposit, parked.wallet)).toEqual({ outcome: 'conflict', id: back.id });
    expect(await wallet(parked.wallet)).toBe('0');
  });

  it('has to be there', async () => {
    const one = await payment(db.owner);
    const [posted] = await creditAll(worker, [one.item]);
    await expect(giveBack(posted!.postingId!)).rejects.toMatchObject({ code: 'P0L04' });
    await expect(giveBack('9000000000')).rejects.toMatchObject({ code: 'P0L04' });
  });
});

describe('everything at once', () => {
  it('is whole in every snapshot and afterwards', async () => {
    const some = await payments(db.owner, 48);
    const work = some.map(({ item }, i) => async () => {
      if (i % 3 === 0) return creditUntilFree(worker, [item]);
      if (i % 3 === 1) {
        const [credited] = await creditUntilFree(worker, [item]);
        const kept = await reverse(credited!.postingId!, true);
        return release(kept.id!, item.deposit, some[0]!.item.wallet, { fee: '0.00000001' });
      }
      const [parked] = await call(db.owner, 'park', [facts(item, { key: `suspense:mtpay:${item.transactionCode}` })]);
      return i % 2 === 0 ? reverse(parked!.id!, false) : release(parked!.id!, item.deposit, item.wallet);
    });
    const storm = { over: false };
    const watcher = (async () => {
      let looks = 0;
      for (; !storm.over || looks === 0; looks += 1) expect(await snapshot()).toEqual([]);
      return looks;
    })();
    // Every credit is requested once more at the same time.
    const rivals = some.filter((_, i) => i % 3 !== 2).map(({ item }) => creditUntilFree(worker, [item]));
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
