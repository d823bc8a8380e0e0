import type pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { countAttempt } from '../../database/queries/callbacks.ts';
import { createPool, inTransaction } from '../../database/pool.ts';
import { createCreditor, creditAll } from '../../ledger/credit.ts';
import { paid } from '../support/builders.ts';
import { UNTOUCHED, creditBooks, outcomes } from './credits.ts';
import { type Payment, payment, payments, postingsOf, received, lockDeposit } from './payments.ts';

const { db, worker, auditor, wallet, standing, expectPaidIsOwed } = await creditBooks();

describe('the statement of a credit', () => {
  it('leaves a callback that already has an outcome with that one', async () => {
    const one = await payment(db.owner);
    await db.owner.query(`update engine.callback set outcome = 'posting:9000000000' where id = $1`, [one.inboxId]);
    const [answer] = await creditAll(worker, [one.item]);
    expect(answer).toMatchObject({ outcome: 'posted' });
    expect(answer!.postingId).not.toBe('9000000000');
    expect(await standing(one)).toMatchObject({ state: 'CREDITED', outcome: 'posting:9000000000' });
  });

  it.each<[string, (client: pg.ClientBase, one: Payment) => Promise<unknown>]>([
    ['deposit', (client, one) => lockDeposit(client, one.order.externalOrderNumber)],
    ['callback, while a repeat is counted', (client, one) => countAttempt(client, one.inboxId)],
  ])(
    'waits for no row: an item is busy while somebody holds its %s, and the one beside it is posted',
    async (_, hold) => {
      const [one, beside] = (await payments(db.owner, 2)) as [Payment, Payment];
      await inTransaction(db.owner, async (client) => {
        await hold(client, one);
        expect(await creditAll(await impatient(), [one.item, beside.item])).toEqual([
          { outcome: 'busy', postingId: null, postedAt: null },
          { outcome: 'posted', postingId: expect.any(String), postedAt: expect.any(String) },
        ]);
      });
      expect(await standing(one)).toEqual(UNTOUCHED);
      expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
      expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'posted' }]);
    },
  );

  it('stands in the way of no message that comes meanwhile, and none stands in its way', async () => {
    const one = await payment(db.owner);
    await inTransaction(db.owner, async (client) => {
      await received(client, paid(one.order), { receipt: 'other_content', bound: false });
      expect(await creditAll(await impatient(), [one.item])).toMatchObject([{ outcome: 'posted' }]);
    });
  });

  it('keeps nobody waiting behind a row that is held: a lane of batches with such an item posts all the others', async () => {
    const held = await payment(db.owner);
    const others = await payments(db.owner, 50);
    await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, held.order.externalOrderNumber);
      const credit = createCreditor(await impatient(), { lanes: 1, max: 5 });
      const waiting = credit(held.item);
      const answers = await Promise.all(others.map((one) => credit(one.item)));
      expect(outcomes(answers)).toEqual({ posted: others.length });
      expect(await waiting).toMatchObject({ outcome: 'busy' });
    });
  });

  it('is tried again for a moment: a row that is let go meanwhile is no answer at all', async () => {
    const one = await payment(db.owner);
    const credit = createCreditor(worker);
    const asked = await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, one.order.externalOrderNumber);
      const answer = credit(one.item);
      await credit.drain();
      return { answer };
    });
    expect(await asked.answer).toMatchObject({ outcome: 'posted' });
  });

  /** A worker that would rather fail than wait for a row. */
  async function impatient(): Promise<pg.Pool> {
    const pool = createPool({ url: db.urlFor('app_worker'), applicationName: 'test', max: 1 });
    onTestFinished(() => pool.end());
    await pool.query(`set lock_timeout = '500ms'`);
    return pool;
  }

  it('posts nothing when the rest of it fails, and everything when it is repeated', async () => {
    const [one, other] = (await payments(db.owner, 2)) as [Payment, Payment];
    await db.owner.query(
      `create function engine.fail() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '53100'; end $$;
       create trigger fail before insert on engine.event for each row when (new.subject = '${one.item.deposit}' and new.type = 'deposit.credited') execute function engine.fail()`,
    );
    await expect(creditAll(worker, [one.item, other.item])).rejects.toMatchObject({ code: '53100' });
    for (const each of [one, other]) {
      expect(await standing(each)).toEqual(UNTOUCHED);
      expect(await postingsOf(auditor, each.item.deposit)).toEqual([]);
      expect(await wallet(each)).toMatchObject({ balance: '0', postings: [] });
    }
    await db.owner.query('drop function engine.fail cascade');
    expect(outcomes(await creditAll(worker, [one.item, other.item]))).toEqual({ posted: 2 });
  });

  it('answers nothing to nothing', async () => {
    expect(await creditAll(worker, [])).toEqual([]);
  });
});

it('the books, after all of this, are whole and owe every wallet what the provider says it released', expectPaidIsOwed);
