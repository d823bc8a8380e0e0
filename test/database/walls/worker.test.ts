import { describe, expect, it } from 'vitest';
import { openDepositCase, parkCaseMoney, noteProposal } from '../../../database/queries/cases.ts';
import { insertCase } from '../../support/operators.ts';
import { findDeposit, markClosed, writeState } from '../../../database/queries/deposits.ts';
import { closeAttempts, openAttempt, settleAttempt } from '../../../database/queries/placements.ts';
import { writeSkew } from '../../../database/queries/provider-clock.ts';
import { known, parseFiat, parseMtc } from '../../../domain/money.ts';
import { judge } from '../../../domain/judge.ts';
import type { DepositSettings } from '../../../domain/order.ts';
import { creditAll, priceOf } from '../../../ledger/credit.ts';
import { payment, postingsOf, reserved } from '../../ledger/payments.ts';
import { order as buildOrder, settings } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

/** The rights of an attacker with the worker's login: its grants once allowed each of these. */

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const NO_PRIVILEGE = { code: '42501' };

const placing = async () => {
  const { externalOrderNumber: n } = await reserved(db.owner);
  await byHand(db.owner, `update engine.deposit set state = 'PLACING' where external_order_number = $1`, [n]);
  return n;
};
const PLACED = {
  kind: 'placed',
  redirectUrl: 'https://checkout.example/1',
  advertisementCode: 'AD1',
  providerTimeMs: null,
} as const;
const begin = (n: string, change: object = {}) =>
  openAttempt(worker, {
    externalOrderNumber: n,
    n: 1,
    deadlineMs: 5_000,
    keyId: 'key',
    timestampMs: Date.now(),
    ...change,
  });
const stateOf = async (n: string) => (await findDeposit(db.owner, n))!.state;

/** Waits until this many sessions wait for a lock here. */
const waiting = (count: number) =>
  until(`${count} to wait`, async () => {
    const { rows } = await db.owner.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0]!.n >= count;
  });

describe('the login of the worker', () => {
  it.each([
    `update engine.deposit set state = 'CREDITED'`,
    `update engine.deposit set redirect_url = 'https://evil.example/'`,
    `update engine.deposit set posting_id = 1, late = true, closed_at = now()`,
    `update engine.callback set outcome = 'review:deposit:x'`,
    `insert into engine.review_case (workflow_id, callback, reason, closed_at, decision, decided_by) values ('deposit:x', 1, 'LATE', now(), 'credit', 'alice+bob')`,
    `insert into engine.review_case (workflow_id, callback, reason) values ('deposit:x', 1, 'LATE')`,
    'update engine.review_case set parked = 1',
    'update engine.review_case set proposal = null',
    `insert into engine.event (subject, sequence, type, epoch, data) values ('x', 1, 'deposit.credited', 1, '{}')`,
    `update engine.deposit set events = 9`,
    'update engine.event set position = 1',
    `select engine.tell('x', 'deposit.credited', 1, null, '{}')`,
    `insert into engine.own_stamp (key_id, timestamp_ms) values ('key', 9999999999999)`,
    `insert into engine.placement_attempt (external_order_number, n, deadline) values ('x', 1, now())`,
    `update engine.placement_attempt set answer = '{}'`,
    'insert into engine.provider_clock (skew_ms) values (1)',
    'update engine.provider_clock set skew_ms = 1',
    `insert into engine.archive_lost (workflow_id, closed_at) values ('deposit:x', now())`,
    'update engine.archive_due set looks = 0',
    `insert into engine.archive_object (hash, kind, bytes) values (sha256('x'), 'history', '')`,
    `select ledger.credit('[]')`,
    `select ledger.park('[]')`,
    'select engine.park_money($$deposit:x$$)',
    'select engine.show_link($$x$$, 1)',
    'select engine.show_answer($$x$$, 1)',
    'set role engine_owner',
  ])('cannot: %s', (sql) => expect(worker.query(sql)).rejects.toMatchObject(NO_PRIVILEGE));

  it('may write to no table at all', async () => {
    const { rows } = await db.owner.query(
      `select c.oid::regclass::text as table, v.privilege from pg_class c
        cross join unnest(array['insert', 'update', 'delete', 'truncate']) v(privilege)
        where c.relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace) and c.relkind in ('r', 'p', 'v')
          and case when v.privilege in ('insert', 'update') then has_any_column_privilege('app_worker', c.oid, v.privilege)
                   else has_table_privilege('app_worker', c.oid, v.privilege) end`,
    );
    expect(rows).toEqual([]);
  });
});

describe('an attempt', () => {
  it.each(['{}', 'null', '[]', '"placed"', '{"kind": null}', '{"kind": "placed"}', '{"kind": "closed"}', null])(
    'does not end with what is no answer, and then takes the true one: %s',
    async (said) => {
      const n = await placing();
      await begin(n);
      await expect(worker.query('select engine.end_attempt($1, 1, $2)', [n, said])).rejects.toMatchObject({
        code: 'P0E53',
      });
      await settleAttempt(worker, n, 1, PLACED);
      expect(await stateOf(n)).toBe('AWAITING_PAYMENT');
    },
  );

  it.each([
    ['closed', `select engine.close_attempts($1, 1, 'RESTORED')`],
    ['adopted', 'select engine.adopt_deposit($1)'],
  ])('is %s while its order is found restored, and neither waits for the other for ever', async (_, sql) => {
    const n = await placing();
    const held = await db.owner.connect();
    await held.query('begin');
    await held.query('select from engine.deposit where external_order_number = $1 for no key update', [n]);
    const said = `select engine.receive_restored($1, 'said', 'RESTORED', $2, 'key', 1)`;
    const restored = db.poolFor('app_api').query(said, [n, Buffer.alloc(64)]);
    await waiting(1);
    const other = db.owner.query(sql, [n]);
    await waiting(2);
    await held.query('commit');
    held.release();
    await expect(Promise.all([restored, other])).resolves.toBeDefined();
    expect(await stateOf(n)).toBe('PLACEMENT_UNKNOWN');
  });

  it('is not closed without a reason', async () => {
    const n = await placing();
    await expect(worker.query('select engine.close_attempts($1, 1, null)', [n])).rejects.toMatchObject({
      code: 'P0E53',
    });
    expect(await stateOf(n)).toBe('PLACING');
  });
});

describe('a credit by the worker', () => {
  it.each<[string, (id: string) => object]>([
    ['another wallet', () => ({ wallet: 'wallet-evil' })],
    ['another amount', () => ({ amount: '5001' })],
    ['another price', () => ({ paymentPrice: '36001' })],
    ['another code', () => ({ transactionCode: 'AT-EVIL' })],
    ['another currency', () => ({ currencyCode: 'HKD' })],
    ['another inbox row', (id) => ({ inboxId: String(Number(id) + 1) })],
    ['another time', () => ({ receivedAt: '2021-01-01T00:00:00.000Z' })],
  ])('of what the rows do not say is not posted: %s', async (_, change) => {
    const one = await payment(db.owner);
    expect(await creditAll(worker, [{ ...one.item, ...change(one.inboxId) }])).toMatchObject([{ outcome: 'unproven' }]);
    expect(await postingsOf(db.owner, one.item.deposit)).toEqual([]);
  });

  it('posts what the rows say, whatever else an item says', async () => {
    const one = await payment(db.owner);
    const item = {
      inbox_id: one.inboxId,
      deposit: one.item.deposit,
      wallet: one.item.wallet,
      provider_code: one.data.transactionCode,
      amount: '5000',
      fiat: 'CNY',
      fiat_amount: '36000',
      late: false,
    };
    const evil = {
      unit_price: '1',
      key: 'other',
      fee: '4999',
      workflow_id: 'review:1',
      provider: 'other',
      kind: 'release',
    };
    await worker.query('select engine.credit($1)', [JSON.stringify([{ ...item, ...evil }])]);
    const { rows } = await db.owner.query(
      'select key, kind, fee, unit_price, workflow_id, provider, credit_code from ledger.transaction where deposit = $1',
      [item.deposit],
    );
    expect(rows).toEqual([
      {
        key: `deposit:${item.deposit}:credit`,
        kind: 'credit',
        fee: '0',
        unit_price: '7.20000000',
        workflow_id: `deposit:${item.deposit}`,
        provider: 'mtpay',
        credit_code: `wallet:${item.wallet}`,
      },
    ]);
  });

  it('is refused where the judge would refuse, by the settings that the deposit has frozen', async () => {
    const cases: readonly (readonly [Partial<DepositSettings>, object, object, boolean])[] = [
      [{}, {}, {}, true],
      [{}, {}, { transactionAmount: '5000.00000001' }, false],
      [{}, {}, { transactionAmount: '4999.99999999' }, false],
      [{ feeBand: '0.01' }, {}, { transactionAmount: '4950' }, true],
      [{ feeBand: '0.01' }, {}, { transactionAmount: '4949.99999999' }, false],
      [{ feeBand: '0.01', feeBands: { CNY: '0' } }, {}, { transactionAmount: '4950' }, false],
      [{ creditCap: '5000' }, {}, {}, true],
      [{ creditCap: '4999.99999999' }, {}, {}, false],
      [{}, {}, { paymentPrice: '32500' }, true],
      [{}, {}, { paymentPrice: '32499.99' }, false],
      [{}, {}, { paymentPrice: '40000' }, true],
      [{}, {}, { paymentPrice: '40000.01' }, false],
      [{}, { buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice: '36000' }, { transactionAmount: '4500' }, true],
      [{}, { buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice: '36000.01' }, {}, false],
    ];
    for (const [change, ordered, paid, isCredited] of cases) {
      const one = await payment(db.owner, { data: paid });
      const asked = buildOrder({ ...one.order, mtcAmount: '5000', ...ordered });
      const frozen = settings(change);
      await byHand(
        db.owner,
        'update engine.deposit set settings = $2, buy_coin_mode = $3, mtc_amount = $4, total_price = $5 where external_order_number = $1',
        [one.item.deposit, frozen, asked.buyCoinMode, asked.mtcAmount, asked.totalPrice],
      );
      const name = JSON.stringify([change, ordered, paid]);
      const verdict = judge(frozen, asked, {
        callback: one.data,
        receivedAt: '2026-01-01T00:00:00.000Z',
        expiresAt: null,
      });
      expect(verdict.kind === 'credit', name).toBe(isCredited);
      const [answer] = await creditAll(worker, [one.item]);
      expect(answer!.outcome, name).toBe(isCredited ? 'posted' : 'unproven');
    }
  });

  it('is refused when it came late and late payments are for people, whatever the worker says of it', async () => {
    for (const [policy, windowEnded, late, outcome] of [
      ['review', true, false, 'unproven'],
      ['review', false, true, 'unproven'],
      ['review', false, false, 'posted'],
      ['credit', true, true, 'posted'],
    ] as const) {
      const one = await payment(db.owner);
      await byHand(
        db.owner,
        `update engine.deposit set settings = $2, expires_at = clock_timestamp() + $3 * interval '1 hour' where external_order_number = $1`,
        [one.item.deposit, settings({ latePolicy: policy }), windowEnded ? -1 : 1],
      );
      expect(await creditAll(worker, [{ ...one.item, late }])).toMatchObject([{ outcome }]);
    }
  });

  it('has the unit price that TypeScript computes, for ten thousand pairs', async () => {
    const random = (most: number) => Math.floor(Math.random() * most);
    const decimal = (digits: number, decimals: number) =>
      `${random(10 ** (1 + random(digits)))}.${String(1 + random(10 ** decimals - 1)).padStart(decimals, '0')}`;
    const pairs = Array.from({ length: 10_000 }, () => ({ paymentPrice: decimal(12, 2), amount: decimal(14, 8) }));
    for (const { paymentPrice, amount } of pairs.slice(0, 3)) {
      known(parseFiat(paymentPrice), 'price');
      known(parseMtc(amount), 'amount');
    }
    const { rows } = await db.owner.query<{ price: string }>(
      `select trim_scale(engine.unit_price(p.price, p.amount))::text as price
         from unnest($1::numeric[], $2::numeric[]) with ordinality p(price, amount, n) order by n`,
      [pairs.map((pair) => pair.paymentPrice), pairs.map((pair) => pair.amount)],
    );
    expect(rows.map((row) => row.price)).toEqual(pairs.map(priceOf));
  });
});

describe('a placement by the worker', () => {
  it.each([
    ['of tomorrow', Date.now() + 86_400_000],
    ['of yesterday, which a callback may have', Date.now() - 86_400_000],
  ])('has no stamp %s', async (_, timestampMs) => {
    await expect(begin(await placing(), { timestampMs })).rejects.toMatchObject({ code: 'P0E53' });
  });

  it('is made once, and again only where it was surely not sent', async () => {
    const n = await placing();
    expect(await begin(n, { n: 2 })).toBe(false);
    expect(await begin(n)).toBe(true);
    expect(await begin(n, { n: 2 })).toBe(false);
    expect(await closeAttempts(worker, n, 2, 'NOT_SENT')).toBe(false);
    await settleAttempt(worker, n, 1, { kind: 'not_sent', cause: 'ECONNREFUSED' });
    expect(await begin(n, { n: 2 })).toBe(true);
    await settleAttempt(worker, n, 2, PLACED);
    expect(await begin(n, { n: 3 })).toBe(false);
    expect(await begin((await reserved(db.owner)).externalOrderNumber)).toBe(false);
  });

  it('has the checkout link of its first answer for ever', async () => {
    const n = await placing();
    await begin(n);
    await settleAttempt(worker, n, 1, PLACED);
    const evil = { ...PLACED, redirectUrl: 'https://evil.example/' };
    expect(await settleAttempt(worker, n, 1, evil)).toEqual(PLACED);
    expect(await findDeposit(db.owner, n)).toMatchObject({
      redirectUrl: PLACED.redirectUrl,
      state: 'AWAITING_PAYMENT',
    });
    await expect(settleAttempt(worker, n, 1, { kind: 'closed' } as never)).rejects.toMatchObject({ code: 'P0E53' });
  });

  it('learns no clock that is not believed', () =>
    expect(writeSkew(worker, 11 * 60_000)).rejects.toMatchObject({ code: 'P0E53' }));
});

describe('a deposit is taken on by the worker', () => {
  it('to an end only when its time has come, and never past a payment', async () => {
    const n = await placing();
    await expect(markClosed(worker, n, 'PLACEMENT_REFUSED', 'NOT_SENT')).rejects.toMatchObject({ code: 'P0E55' });
    await begin(n);
    await expect(markClosed(worker, n, 'PLACEMENT_REFUSED', 'NOT_SENT')).rejects.toMatchObject({ code: 'P0E55' });
    await settleAttempt(worker, n, 1, PLACED);
    await expect(writeState(worker, n, 'EXPIRED')).rejects.toMatchObject({ code: 'P0E54' });
    await expect(markClosed(worker, n, 'UNPAID', null)).rejects.toMatchObject({ code: 'P0E54' });
    await expect(worker.query(`select engine.deposit_step($1, 'CREDITED')`, [n])).rejects.toMatchObject({
      code: '20000',
    });
    expect(await stateOf(n)).toBe('AWAITING_PAYMENT');
    await byHand(
      db.owner,
      'update engine.deposit set expires_at = now(), listening_until = now() where external_order_number = $1',
      [n],
    );
    await writeState(worker, n, 'EXPIRED');
    expect(await stateOf(n)).toBe('EXPIRED');
    expect(await markClosed(worker, n, 'UNPAID', null)).toBe('done');
    const one = await payment(db.owner);
    expect(await markClosed(worker, one.item.deposit, 'UNPAID', null)).toBe('bound');
    await creditAll(worker, [one.item]);
    expect(await markClosed(worker, one.item.deposit, 'UNPAID', null)).toBe('settled');
    expect(await markClosed(worker, 'o-none', 'UNPAID', null)).toBeNull();
  });

  it('whose row was restored goes the way that its workflow has gone', async () => {
    for (const state of ['PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT']) {
      const { externalOrderNumber: n } = await reserved(db.owner);
      await byHand(
        db.owner,
        `update engine.deposit set state = $2, created_at = now() - interval '5 days' where external_order_number = $1`,
        [n, state],
      );
      expect(await markClosed(worker, n, 'UNPAID', null)).toBe('done');
      expect(await stateOf(n)).toBe('UNPAID');
    }
  });

  it('to people only with its own payment, once', async () => {
    const one = await payment(db.owner);
    expect(
      await openDepositCase(worker, { inboxId: String(Number(one.inboxId) + 1), reason: 'LATE', late: true }),
    ).toBeNull();
    const parked = await openDepositCase(worker, { inboxId: one.inboxId, reason: 'LATE', late: true, park: true });
    expect(parked).toMatchObject({ postingId: expect.stringMatching(/^\d+$/), codeStands: false });
    expect(
      await openDepositCase(worker, { inboxId: one.inboxId, reason: 'AMOUNT_MISMATCH', late: true, park: true }),
    ).toEqual(parked);
    expect(await parkCaseMoney(worker, `deposit:${one.item.deposit}`)).toEqual(parked);
    expect(await findDeposit(db.owner, one.item.deposit)).toMatchObject({ state: 'IN_REVIEW', reviewReason: 'LATE' });
    expect(await postingsOf(db.owner, one.item.deposit)).toMatchObject([
      { key: `suspense:mtpay:${one.data.transactionCode}`, amount: '5000' },
    ]);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'unproven' }]);
  });

  it('shows no proposal in a case but one of its own', async () => {
    const [one, other] = [await payment(db.owner), await payment(db.owner)];
    const id = `review:${one.inboxId}`;
    await insertCase(db.owner, { workflowId: id, inboxId: one.inboxId, reason: 'SECOND_CODE' });
    await insertCase(db.owner, { workflowId: 'review:x', inboxId: other.inboxId, reason: 'SECOND_CODE' });
    const { rows } = await db.owner.query<{ id: string }>(
      `insert into engine.decision (callback, workflow_id, step, decision, reason, operator) values ($1, 'review:x', 'propose', 'reject', 'not ours', 'alice') returning id`,
      [other.inboxId],
    );
    await noteProposal(worker, id, rows[0]!.id);
    await noteProposal(worker, 'review:x', rows[0]!.id);
    const shown = await db.owner.query(
      'select workflow_id, proposal from engine.review_case where workflow_id in ($1, $2) order by 1',
      [id, 'review:x'],
    );
    expect(shown.rows).toEqual([
      { workflow_id: id, proposal: null },
      { workflow_id: 'review:x', proposal: rows[0]!.id },
    ]);
  });
});
