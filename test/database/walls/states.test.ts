import { describe, expect, it } from 'vitest';
import { DEPOSIT_STATES, isFinal, shownTransitions } from '../../../domain/deposit.ts';
import { payment, reserved } from '../../ledger/payments.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();

const set = (change: string, deposit: string) =>
  db.owner.query(`update engine.deposit set ${change} where external_order_number = $1`, [deposit]);

describe('a change of state', () => {
  it('is allowed by the database just where rows show it by the table of transitions', async () => {
    const { rows } = await db.owner.query<{ definition: string }>(
      `select pg_get_triggerdef(oid) as definition from pg_trigger where tgrelid = 'engine.deposit'::regclass and tgname = 'state'`,
    );
    // Two columns compared with rows of literals, however this version of PostgreSQL prints them.
    const states = [...rows[0]!.definition.matchAll(/'([A-Z_]+)'::text/g)].map((match) => match[1]!);
    const pairs = states.flatMap((state, i) => (i % 2 === 0 ? [`${state}>${states[i + 1]}`] : []));
    expect(new Set(pairs)).toEqual(shownTransitions());
    expect(pairs).toHaveLength(shownTransitions().size);
  });

  it('is refused by it, for the owner too, everywhere else', async () => {
    const { externalOrderNumber: n } = await reserved(db.owner);
    for (const from of DEPOSIT_STATES) {
      for (const to of DEPOSIT_STATES) {
        await byHand(db.owner, 'update engine.deposit set state = $2 where external_order_number = $1', [n, from]);
        const changed = set(`state = '${to}'`, n);
        if (from === to || shownTransitions().has(`${from}>${to}`)) await expect(changed).resolves.toBeDefined();
        else await expect(changed, `${from} to ${to}`).rejects.toMatchObject({ code: 'P0E50' });
      }
    }
  });

  it('never leads out of an end, nor to the state that nobody writes', () => {
    for (const pair of shownTransitions()) {
      const [from, to] = pair.split('>') as [(typeof DEPOSIT_STATES)[number], string];
      expect(isFinal(from), pair).toBe(false);
      expect(to).not.toBe('CREDITING');
    }
  });
});

describe('a new row', () => {
  it.each([
    [
      `deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state)`,
      `'o-past', 'w', 'MtcAmount', 5, 'CNY', 'en', '', '{}', 'EXPIRED'`,
    ],
    [
      `deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, redirect_url)`,
      `'o-past', 'w', 'MtcAmount', 5, 'CNY', 'en', '', '{}', 'https://evil.example/'`,
    ],
    [
      `review_case (workflow_id, callback, reason, closed_at, decision, decided_by)`,
      `'deposit:o-past', 1, 'LATE', now(), 'credit', 'alice+bob'`,
    ],
    [`review_case (workflow_id, callback, reason, parked)`, `'deposit:o-past', 1, 'LATE', 1`],
    [
      `callback (external_order_number, content_hash, raw, receipt, acked, outcome)`,
      `'o-past', sha256('past'), '', 'first', true, 'posting:1'`,
    ],
  ])('has no past: %s', async (table, values) => {
    await expect(db.owner.query(`insert into engine.${table} values (${values})`)).rejects.toMatchObject({
      code: 'P0E52',
    });
  });
});

describe('what is written once', () => {
  it.each([
    ['closed_at', 'clock_timestamp()', `clock_timestamp() + interval '1 second'`],
    ['posting_id', '1', '2'],
    ['placed_at', 'now()', `now() + interval '1 second'`],
    ['redirect_url', `'https://checkout.example/1'`, `'https://evil.example/1'`],
    ['advertisement_code', `'AD1'`, `'AD2'`],
    ['refusal', `'NOT_SENT'`, `'TOO_LATE'`],
    ['review_reason', `'LATE'`, `'AMOUNT_MISMATCH'`],
    ['expires_at', 'now()', `now() + interval '1 day'`],
    ['listening_until', 'now()', `now() + interval '1 day'`],
  ])('stays on a deposit: %s', async (column, first, other) => {
    const { externalOrderNumber: n } = await reserved(db.owner);
    await set(`${column} = ${first}`, n);
    await set(`${column} = ${column}`, n);
    for (const value of [other, 'null'])
      await expect(set(`${column} = ${value}`, n)).rejects.toMatchObject({ code: 'P0E51' });
  });

  it('of the windows gives way once: to those that begin with a late checkout link', async () => {
    const { externalOrderNumber: n } = await reserved(db.owner);
    await set('expires_at = now(), listening_until = now()', n);
    const later = `expires_at = now() + interval '1 hour', listening_until = now() + interval '2 hours'`;
    await expect(set(later, n)).rejects.toMatchObject({ code: 'P0E51' });
    await set(`redirect_url = 'https://checkout.example/1', ${later}`, n);
    await expect(set("expires_at = now() + interval '3 hours'", n)).rejects.toMatchObject({ code: 'P0E51' });
  });

  it.each([
    ["received_at = now() - interval '1 day'"],
    ["received_at = received_at + interval '1 second'"],
    ["last_at = last_at - interval '1 second'"],
    [`outcome = 'review:other'`],
    ['outcome = null'],
  ])('stays on a callback: %s', async (change) => {
    const { inboxId } = await payment(db.owner);
    await db.owner.query(
      `update engine.callback set outcome = 'review:deposit:1', last_at = last_at + interval '1 second' where id = $1`,
      [inboxId],
    );
    await expect(db.owner.query(`update engine.callback set ${change} where id = $1`, [inboxId])).rejects.toMatchObject(
      { code: 'P0E51' },
    );
  });

  it('stays on a case: what it is about, and how it was decided', async () => {
    const { inboxId, order } = await payment(db.owner);
    const id = `deposit:${order.externalOrderNumber}`;
    await db.owner.query(`insert into engine.review_case (workflow_id, callback, reason) values ($1, $2, 'LATE')`, [
      id,
      inboxId,
    ]);
    const change = (sql: string) => db.owner.query(`update engine.review_case set ${sql} where workflow_id = $1`, [id]);
    const refused = async (...changes: string[]) => {
      for (const sql of changes) await expect(change(sql), sql).rejects.toMatchObject({ code: 'P0E51' });
    };
    await refused(
      `reason = 'LEDGER_CONFLICT'`,
      'callback = callback + 1',
      `opened_by = 'mallory'`,
      'doubted = 1',
      `detail = 'x'`,
      'opened_at = now()',
    );
    await change(`parked = 1`);
    await change(`parked = 2`);
    await change(`closed_at = now(), decision = 'credit', decided_by = 'alice+bob', posting = 3`);
    await refused(
      `decided_by = 'mallory+eve'`,
      `decision = 'reject'`,
      'posting = 4',
      'parked = 4',
      "closed_at = now() + interval '1 second'",
      'closed_at = null, decision = null, decided_by = null',
    );
  });
});
