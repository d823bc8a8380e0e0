import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { creditAll } from '../../ledger/credit.ts';
import { transactionCode } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { peoplesBooks } from './chains.ts';
import {
  balanceOf,
  call,
  creditUntilFree,
  expectCleanBooks,
  facts,
  newWallet,
  type Payment,
  payment,
  payments,
} from './payments.ts';

/**
 * One payment of a deposit at a time is in a wallet, credited by machine or operators (docs/reference/ledger.md#slots).
 */
const db = await createTestDatabase();
const { worker, decisions, books, auditor, park, release, reverse, giveBack, slotOf, standingOf, chainOf } =
  peoplesBooks(db);

const wallet = (name: string) => balanceOf(auditor, `wallet:${name}`);
const credited = async ({ item }: Payment): Promise<string> => (await creditAll(worker, [item]))[0]!.postingId!;

describe('the slot of a deposit', () => {
  it('is taken by a credit, and named by the posting', async () => {
    const one = await payment(db.owner);
    expect(await slotOf(one.item.deposit)).toBeNull();
    const posting = await credited(one);
    expect(await slotOf(one.item.deposit)).toBe(posting);
    expect(await standingOf(one.item.deposit)).toEqual([posting]);
  });

  it('is not taken by money in suspense, whatever deposit it claims', async () => {
    const one = await payment(db.owner);
    await park({ deposit: one.item.deposit });
    expect(await slotOf(one.item.deposit)).toBeNull();
    expect(await credited(one)).toMatch(/^\d+$/);
  });

  it('has the machine in the way of people: a conflict that names the credit, and nothing moves', async () => {
    const one = await payment(db.owner);
    const posting = await credited(one);
    const second = await park({ deposit: one.item.deposit });
    expect(await release(second.id, one.item.deposit, one.item.wallet)).toEqual({ outcome: 'conflict', id: posting });
    expect(await wallet(one.item.wallet)).toBe('-5000');
    expect(await chainOf(second.id)).toMatchObject({ tip: second.id, place: 'suspense:mtpay' });
  });

  it('has people in the way of the machine: a conflict that names their release, and nothing moves', async () => {
    const one = await payment(db.owner);
    const first = await park({ deposit: one.item.deposit });
    const released = await release(first.id, one.item.deposit, one.item.wallet);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'conflict', postingId: released.id }]);
    expect(await wallet(one.item.wallet)).toBe('-5000');
    expect(await standingOf(one.item.deposit)).toEqual([released.id]);
  });

  it('is of one of thirty who ask at once, machine and people', async () => {
    const one = await payment(db.owner);
    const rivals = await Promise.all(Array.from({ length: 10 }, () => park({ deposit: one.item.deposit })));
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, async () => (await call(db.owner, 'credit', [facts(one.item)]))[0]!),
      ...rivals.map(({ id }) => release(id, one.item.deposit, one.item.wallet)),
    ]);
    expect(answers.filter(({ outcome }) => outcome === 'posted')).toHaveLength(1);
    expect(await wallet(one.item.wallet)).toBe('-5000');
    expect(await standingOf(one.item.deposit)).toEqual([await slotOf(one.item.deposit)]);
  });

  it('is of the deposit that the money is released to: its own payment goes to people then', async () => {
    const [one, other] = (await payments(db.owner, 2)) as [Payment, Payment];
    const first = await park({ deposit: one.item.deposit });
    const released = await release(first.id, other.item.deposit, other.item.wallet);
    expect(await slotOf(one.item.deposit)).toBeNull();
    expect(await creditAll(worker, [other.item, one.item])).toMatchObject([
      { outcome: 'conflict', postingId: released.id },
      { outcome: 'posted' },
    ]);
  });

  it('does not stop the rest of a batch', async () => {
    const [one, ...others] = await payments(db.owner, 5);
    const first = await park({ deposit: one!.item.deposit });
    await release(first.id, one!.item.deposit, one!.item.wallet);
    const answers = await creditAll(worker, [others[0]!.item, one!.item, ...others.slice(1).map(({ item }) => item)]);
    expect(answers.map(({ outcome }) => outcome)).toEqual(['posted', 'conflict', 'posted', 'posted', 'posted']);
  });
});

describe('a slot is free again', () => {
  it('when the money is taken out: then people may credit another payment', async () => {
    const one = await payment(db.owner);
    const posting = await credited(one);
    const second = await park({ deposit: one.item.deposit });
    await reverse(posting, false);
    expect(await slotOf(one.item.deposit)).toBeNull();
    expect(await release(second.id, one.item.deposit, one.item.wallet)).toMatchObject({ outcome: 'posted' });
    expect(await wallet(one.item.wallet)).toBe('-5000');
  });

  it('and stays so when the machine is late with its retry, which is a duplicate', async () => {
    const one = await payment(db.owner);
    const posting = await credited(one);
    await reverse(posting, false);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'duplicate', postingId: posting }]);
    expect(await slotOf(one.item.deposit)).toBeNull();
    const second = await park({ deposit: one.item.deposit });
    expect(await release(second.id, one.item.deposit, one.item.wallet)).toMatchObject({ outcome: 'posted' });
    // Nor does it take the slot of another.
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'duplicate', postingId: posting }]);
    expect(await wallet(one.item.wallet)).toBe('-5000');
  });

  it('when what took it turns out to be used up: the slot is given back, and only by who took it', async () => {
    const [one, rival] = (await payments(db.owner, 2)) as [Payment, Payment];
    await credited(rival);
    const used = facts(one.item, { provider_code: rival.item.transactionCode });
    expect(await call(db.owner, 'credit', [used])).toMatchObject([{ outcome: 'conflict' }]);
    expect(await slotOf(one.item.deposit)).toBeNull();
    const posting = await credited(one);
    const again = facts(one.item, { key: 'deposit:again', provider_code: rival.item.transactionCode });
    expect(await call(db.owner, 'credit', [again])).toMatchObject([{ outcome: 'conflict' }]);
    expect(await slotOf(one.item.deposit)).toBe(posting);
  });

  it('when a posting whose origin has a successor wanted it', async () => {
    const first = await park();
    const back = await giveBack(first.id);
    expect(await release(first.id, first.deposit, first.wallet)).toEqual({ outcome: 'conflict', id: back.id });
    expect(await slotOf(first.deposit)).toBeNull();
  });

  it('and is never lost to a batch that fails', async () => {
    const [one, broken] = (await payments(db.owner, 2)) as [Payment, Payment];
    const batch = [facts(one.item), facts(broken.item, { amount: '0' })];
    await expect(call(db.owner, 'credit', batch)).rejects.toMatchObject({ code: '23514' });
    expect(await slotOf(one.item.deposit)).toBeNull();
    expect(await credited(one)).toMatch(/^\d+$/);
  });
});

describe('a chain', () => {
  it('of nine postings goes wherever people send it, under one key a step, and the slots follow', async () => {
    const [one, other] = (await payments(db.owner, 2)) as [Payment, Payment];
    const [own, others] = [one.item.deposit, other.item.deposit];
    const chain = [await credited(one)];
    const next = async (step: Promise<{ outcome: string; id: string | null }>) => {
      const { outcome, id } = await step;
      expect(outcome).toBe('posted');
      chain.push(id!);
    };
    const tip = () => chain.at(-1)!;
    const key = () => ({ key: `after:${tip()}` });
    const slots = async () => [await slotOf(own), await slotOf(others)];
    expect(await slots()).toEqual([tip(), null]);
    for (let i = 0; i < 2; i += 1) {
      await next(reverse(tip(), true, key()));
      expect(await slots()).toEqual([null, null]);
      await next(reverse(tip(), false, key()));
      expect(await slots()).toEqual([tip(), null]);
    }
    await next(reverse(tip(), true, key()));
    await next(release(tip(), others, other.item.wallet, key()));
    expect(await slots()).toEqual([null, tip()]);
    await next(reverse(tip(), true, key()));
    expect(await slots()).toEqual([null, null]);
    await next(release(tip(), own, one.item.wallet, key()));
    expect(await slots()).toEqual([tip(), null]);

    expect(chain).toHaveLength(9);
    for (const id of chain) {
      expect(await chainOf(id)).toEqual({ root: chain[0], tip: tip(), place: `wallet:${one.item.wallet}` });
    }
    expect([await wallet(one.item.wallet), await wallet(other.item.wallet)]).toEqual(['-5000', '0']);
    const { rows } = await auditor.query('select from ledger.transaction where id = any($1) and origin is not null', [
      chain,
    ]);
    expect(rows).toHaveLength(8);
    await expectCleanBooks(auditor);
  });

  it('is a list: a second successor is refused, whatever its key and whoever asks', async () => {
    const one = await payment(db.owner);
    const posting = await credited(one);
    const kept = await reverse(posting, true, { key: `after:${posting}` });
    expect(await reverse(posting, false, { key: `after:${posting}` })).toEqual({ outcome: 'conflict', id: kept.id });
    expect(await reverse(posting, false)).toEqual({ outcome: 'conflict', id: kept.id });
    expect(await slotOf(one.item.deposit)).toBeNull();
  });

  it('that comes back to its wallet needs the slot: a conflict where another payment has it by now', async () => {
    const one = await payment(db.owner);
    const reversed = await reverse(await credited(one), false);
    const second = await park({ deposit: one.item.deposit });
    const released = await release(second.id, one.item.deposit, one.item.wallet);
    expect(await reverse(reversed.id!, false)).toEqual({ outcome: 'conflict', id: released.id });
    expect(await reverse(reversed.id!, false, { beside: released.id })).toMatchObject({ outcome: 'posted' });
    expect(await wallet(one.item.wallet)).toBe('-10000');
  });
});

describe('a payment beside another', () => {
  /** A deposit with a credit of the machine, and further payments of it in suspense. */
  async function withSeconds(count: number) {
    const one = await payment(db.owner);
    const first = await credited(one);
    const { deposit, wallet: to } = one.item;
    const seconds = await Promise.all(Array.from({ length: count }, () => park({ deposit })));
    const put = (n: number, beside: string | null, step: { key?: string; actor?: string } = {}) =>
      release(seconds[n]!.id, deposit, to, { beside, ...step });
    return { one, first, deposit, to, seconds, put };
  }

  it('is credited by two people who name it, and has the slot from then on', async () => {
    const { first, deposit, to, put } = await withSeconds(1);
    const second = await put(0, first);
    expect(second.outcome).toBe('posted');
    expect(await wallet(to)).toBe('-10000');
    expect(await slotOf(deposit)).toBe(second.id);
    expect(await standingOf(deposit)).toEqual([first, second.id]);
  });

  it('by one person is refused by the database, and the slot is as it was', async () => {
    const { first, deposit, to, put } = await withSeconds(1);
    await expect(put(0, first, { actor: 'alice' })).rejects.toMatchObject({ code: '23514' });
    expect([await slotOf(deposit), await wallet(to)]).toEqual([first, '-5000']);
  });

  it('needs the newest: who names only the first, the second unseen, is answered conflict with the newest', async () => {
    const { first, deposit, to, put } = await withSeconds(2);
    const second = await put(0, first);
    expect(await put(1, first)).toEqual({ outcome: 'conflict', id: second.id });
    expect([await slotOf(deposit), await wallet(to)]).toEqual([second.id, '-10000']);
    expect(await put(1, second.id)).toMatchObject({ outcome: 'posted' });
    expect(await wallet(to)).toBe('-15000');
  });

  it('of two at once that name the same, one is credited', async () => {
    const { first, to, put } = await withSeconds(2);
    const answers = await Promise.all([put(0, first), put(1, first)]);
    expect(answers.map(({ outcome }) => outcome).toSorted()).toEqual(['conflict', 'posted']);
    expect(await wallet(to)).toBe('-10000');
  });

  it('that is asked for again is a duplicate, whatever came after it', async () => {
    const { first, to, put } = await withSeconds(2);
    const second = await put(0, first, { key: 'after:again' });
    expect(await put(0, first, { key: 'after:again' })).toEqual({ outcome: 'duplicate', id: second.id });
    await put(1, second.id);
    expect(await put(0, first, { key: 'after:again' })).toEqual({ outcome: 'duplicate', id: second.id });
    expect(await wallet(to)).toBe('-15000');
    // The credit beside which it was put belongs to its facts.
    expect(await put(0, null, { key: 'after:again' })).toEqual({ outcome: 'conflict', id: second.id });
  });

  it('of a deposit that has none is a conflict: what the people were shown does not stand any more', async () => {
    const { first, deposit, to, put } = await withSeconds(1);
    await reverse(first, false);
    expect(await put(0, first)).toEqual({ outcome: 'conflict', id: null });
    expect([await slotOf(deposit), await wallet(to)]).toEqual([null, '0']);
    expect(await put(0, null)).toMatchObject({ outcome: 'posted' });
  });

  it('names a credit of this very deposit', async () => {
    const { first, put } = await withSeconds(1);
    const other = await payment(db.owner);
    const foreign = await credited(other);
    expect(await put(0, foreign)).toEqual({ outcome: 'conflict', id: first });
    expect(await slotOf(other.item.deposit)).toBe(foreign);
  });

  it('whose money has gone elsewhere already gives the slot back to the credit that had it', async () => {
    const { first, deposit, to, seconds, put } = await withSeconds(1);
    const back = await giveBack(seconds[0]!.id);
    expect(await put(0, first)).toEqual({ outcome: 'conflict', id: back.id });
    expect([await slotOf(deposit), await wallet(to)]).toEqual([first, '-5000']);
  });

  it('that is taken out again leaves the slot to the newest that still stands, and the last leaves it free', async () => {
    const { first, deposit, put } = await withSeconds(2);
    const second = await put(0, first);
    const third = await put(1, second.id);
    // The one in the middle has no slot to leave.
    await reverse(second.id!, false);
    expect(await slotOf(deposit)).toBe(third.id);
    await reverse(third.id!, true);
    expect(await slotOf(deposit)).toBe(first);
    expect(await standingOf(deposit)).toEqual([first]);
    await reverse(first, false);
    expect(await slotOf(deposit)).toBeNull();
  });

  it.each([
    ['the newer first', 1],
    ['the older first', 0],
  ])('and the other, taken out at the same moment, leave the slot free: %s', async (_, earlier) => {
    const { first, deposit, to, put } = await withSeconds(1);
    const both = [first, (await put(0, first)).id!] as const;
    const client = await books.connect();
    let later: Promise<unknown> = Promise.resolve();
    try {
      await client.query('begin');
      await client.query(`select ledger.reverse($1, $2, false, 'review:1', 'alice+bob', 'not ours')`, [
        `after:${both[earlier]}`,
        both[earlier],
      ]);
      later = reverse(both[1 - earlier]!, false);
      await until('the later one to wait for the earlier', isWaiting);
      await client.query('commit');
    } finally {
      client.release();
    }
    expect(await later).toMatchObject({ outcome: 'posted' });
    expect([await slotOf(deposit), await wallet(to)]).toEqual([null, '0']);
  });

  const isWaiting = async () =>
    (
      await db.owner.query(
        `select from pg_stat_activity where datname = current_database() and application_name = 'books' and wait_event_type = 'Lock'`,
      )
    ).rowCount === 1;

  it('is nothing a machine can do', async () => {
    const { one, first } = await withSeconds(1);
    const beside = { ...facts(one.item, { key: 'x', provider_code: transactionCode() }), beside: first };
    expect(await call(db.owner, 'credit', [beside])).toMatchObject([{ outcome: 'conflict', id: first }]);
  });
});

describe('a machine and people at once, over a few deposits', () => {
  /** Long enough that rivals meet; each step is one call of the ledger in a transaction of its own. */
  const STEPS = 60;
  const LANES = 8;

  it('never wait for each other in a circle, and never leave two payments of a deposit in wallets', async () => {
    const to = newWallet();
    const some = await payments(db.owner, 6, { order: { wallet: to } });
    const deposits = some.map(({ item }) => item.deposit);
    const pick = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)]!;
    const counts: Record<string, number> = {};
    const failures: unknown[] = [];

    async function step(): Promise<{ readonly outcome: string }> {
      const deposit = pick(deposits);
      const slot = await slotOf(deposit);
      switch (pick(['credit', 'release', 'release', 'reverse', 'keep', 'bring back'])) {
        case 'credit':
          return (await creditUntilFree(worker, [pick(some).item, pick(some).item]))[0]!;
        case 'release':
          return release((await park({ deposit })).id, deposit, to);
        case 'reverse':
          return slot === null ? { outcome: 'nothing' } : reverse(slot, false);
        case 'keep': {
          if (slot === null) return { outcome: 'nothing' };
          const kept = await reverse(slot, true);
          return kept.outcome === 'posted' ? release(kept.id!, pick(deposits), to) : kept;
        }
        default: {
          const { rows } = await auditor.query<{ id: string }>(
            `select t.id from ledger.transaction t where t.deposit = $1 and t.amount < 0 and t.debit_code like 'clearing:%'
                and not exists (select from ledger.transaction s where s.origin = t.id) limit 1`,
            [deposit],
          );
          return rows[0] === undefined ? { outcome: 'nothing' } : reverse(rows[0].id, false);
        }
      }
    }

    const lane = async () => {
      for (let n = 0; n < STEPS; n += 1) {
        try {
          const { outcome } = await step();
          counts[outcome] = (counts[outcome] ?? 0) + 1;
        } catch (error) {
          failures.push((error as pg.DatabaseError).code ?? error);
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(failures).toEqual([]);
    expect(counts['posted']).toBeGreaterThan(0);
    expect(counts['conflict']).toBeGreaterThan(0);
    for (const deposit of deposits) {
      const standing = await standingOf(deposit);
      expect(standing.length).toBeLessThanOrEqual(1);
      expect(await slotOf(deposit)).toBe(standing[0] ?? null);
    }
  });
});

it('nobody but the ledger writes slots and lineages', async () => {
  for (const pool of [worker, decisions, auditor]) {
    for (const sql of ['delete from ledger.slot', 'delete from ledger.lineage']) {
      await expect(pool.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
  }
});

it('after all of this, the books are whole', () => expectCleanBooks(auditor));
