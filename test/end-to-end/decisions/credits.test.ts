import { describe, expect, test } from 'vitest';
import { arrives, bookedFor, decideTogether, opened, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { byHand } from '../../support/database.ts';
import { eventFaults } from '../../support/events.ts';
import { until } from '../../support/until.ts';
import { startDeciding } from './deciding.ts';

/** The money of one deposit, however often it moves: merchants and operators read the same as the books hold. */
const { engine, alice, bob, newWallet, deposit, arrivesAhead, credited } = await startDeciding();

test('a credit is taken out and put back as often as people decide, and every reader sees where the money is', async () => {
  const { order, data } = await credited();
  const about = { reason: 'asked once more' };
  const doubt = async (by: Record<string, string>) => {
    const opened = await alice.doubt({ ...about, ...by });
    expect(opened.status, opened.text).toBe(201);
    return opened.body.id as string;
  };
  const byDeposit = () => doubt({ externalOrderNumber: order.externalOrderNumber });
  const reads = async (creditedAmount: string, kept: boolean | null, credits: number) => {
    const seen = await deposit(order);
    expect(seen).toMatchObject({
      state: 'CREDITED',
      final: true,
      transactionCode: data.transactionCode,
      standing: creditedAmount === '0' ? 'none' : 'credited',
      creditedAmount,
    });
    expect(seen.reversal?.kept ?? null).toBe(kept);
    expect(seen.credits).toHaveLength(credits);
    expect(seen.credits.filter((one: { reversed: unknown }) => one.reversed === null)).toHaveLength(
      creditedAmount === '0' ? 0 : 1,
    );
    expect(await walletBalance(engine, order.wallet)).toBe(creditedAmount);
    await engine.auditLedger();
  };
  await reads('5000', null, 1);

  const first = await byDeposit();
  const taken = await decideTogether(alice, bob, first, { decision: 'reverse', keep: true });
  expect(taken).toMatchObject({ state: 'open', standing: 'withdrawn', newestCredit: null });
  await reads('0', true, 1);
  await decideTogether(bob, alice, first, { decision: 'restore' });
  await reads('5000', null, 2);

  const second = await byDeposit();
  await decideTogether(alice, bob, second, { decision: 'reverse' });
  await reads('0', false, 2);
  const third = await doubt({ case: second });
  expect(await alice.case(third)).toMatchObject({ reason: 'DECISION_IN_DOUBT', standing: 'returned' });
  await decideTogether(alice, bob, third, { decision: 'restore' });
  await reads('5000', null, 3);

  const fourth = await doubt({ postingId: (await deposit(order)).credits[0].postingId });
  await decideTogether(alice, bob, fourth, { decision: 'reverse', keep: true });
  await decideTogether(alice, bob, fourth, { decision: 'reverse' });
  await reads('0', false, 3);
  const fifth = await byDeposit();
  await decideTogether(alice, bob, fifth, { decision: 'restore' });
  // From suspense it went to the provider, and there it came from: into suspense, and the case is open.
  expect(await alice.case(fifth)).toMatchObject({ state: 'open', standing: 'parked' });
  await reads('0', true, 3);
  await decideTogether(alice, bob, fifth, { decision: 'credit' });
  await reads('5000', null, 4);

  const postings = await bookedFor(engine, data.transactionCode);
  expect(postings.map(({ key }) => key)).toEqual([
    `deposit:${order.externalOrderNumber}:credit`,
    ...postings.slice(0, -1).map(({ id }) => `after:${id}`),
  ]);
  const shown = (await engine.call('GET', `/v1/wallets/${order.wallet}`)).body;
  expect(shown.postings).toHaveLength(7);
  expect(new Set(shown.postings.map((one: { transactionCode: string }) => one.transactionCode))).toEqual(
    new Set([data.transactionCode]),
  );
});

describe('a payment that no machine may bind', () => {
  test('credited by two people ends its deposit, and the next code is for people', async () => {
    const order = await placed(engine, { wallet: newWallet() });
    const data = await arrivesAhead(order);
    const { id } = await opened(alice, order, 'STAMP_AHEAD', 'nothing');
    expect(await deposit(order)).toMatchObject({
      state: 'AWAITING_PAYMENT',
      final: false,
      standing: 'none',
      creditedAmount: null,
      otherPayments: [{ case: id, reason: 'STAMP_AHEAD', transactionCode: data.transactionCode, amount: '5000' }],
    });
    await decideTogether(alice, bob, id, { decision: 'credit' });
    expect(await deposit(order)).toMatchObject({
      state: 'CREDITED',
      final: true,
      transactionCode: data.transactionCode,
      standing: 'credited',
      creditedAmount: '5000',
      credits: [{ how: 'people', transactionCode: data.transactionCode, reversed: null }],
      otherPayments: [],
    });
    const workflow = engine.client.workflow.getHandle(`deposit:${order.externalOrderNumber}`);
    expect(await workflow.result()).toMatchObject({ state: 'CREDITED', transactionCode: data.transactionCode });
    const { status, searchAttributes } = await workflow.describe();
    expect(status.name).toBe('COMPLETED');
    expect(searchAttributes).toMatchObject({ DepositState: ['CREDITED'] });
    const { rows } = await engine.db.owner.query(
      `select type, data->>'amount' as amount, data->>'transactionCode' as code from engine.event
        where subject = $1 order by sequence offset 1`,
      [order.externalOrderNumber],
    );
    expect(rows).toEqual([
      { type: 'case.opened', amount: null, code: null },
      { type: 'deposit.credited', amount: '5000', code: data.transactionCode },
      { type: 'case.decided', amount: null, code: null },
    ]);

    const second = await arrives(engine, order);
    const next = await opened(alice, order, 'SECOND_CODE', 'parked');
    expect(next).toMatchObject({ newestCredit: (await deposit(order)).credits[0].postingId });
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    expect((await deposit(order)).otherPayments).toMatchObject([{ transactionCode: second.transactionCode }]);
    await engine.auditLedger();
  });

  test('whose case was open before a machine credited another is refused without naming that credit', async () => {
    const order = await placed(engine, { wallet: newWallet() });
    await arrivesAhead(order);
    const { id } = await opened(alice, order, 'STAMP_AHEAD', 'nothing');
    const credit = { decision: 'credit', reason: 'stands in the statement' };
    const early = (await alice.propose(id, credit)).body.proposal.id;
    const own = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');

    // Proposed while the wallet held no credit: the books refuse it, and nothing is parked for it.
    expectRefusal(await bob.confirm(id, early), 409, 'credited_meanwhile');
    const found = await bob.case(id);
    expect(found).toMatchObject({
      state: 'open',
      standing: 'nothing',
      proposal: null,
      deposit: { state: 'CREDITED', standing: 'credited' },
      otherPayments: [{ transactionCode: own.transactionCode, outcome: 'credited' }],
    });
    expect(found.steps).toMatchObject([
      { step: 'propose', outcome: 'refused', refusal: 'credited_meanwhile' },
      { step: 'confirm', outcome: 'refused', refusal: 'credited_meanwhile' },
    ]);
    expectRefusal(await alice.propose(id, credit), 409, 'credited_meanwhile');
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    await decideTogether(alice, bob, id, { ...credit, beside: found.newestCredit });
    expect(await deposit(order)).toMatchObject({ standing: 'more', creditedAmount: '10000' });
    await engine.auditLedger();
  });
});

test('a payment of another size than was ordered is warned of to everybody who reads its case', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await arrives(engine, order, { transactionAmount: '500', paymentPrice: 3600 });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  const warnings = ['far less than was ordered: 500 MTC, and the order asked for 5000 MTC'];
  expect((await bob.case(id)).warnings).toEqual(warnings);
  expect((await alice.propose(id, { decision: 'credit', reason: 'a part of it' })).body.warnings).toEqual(warnings);
});

test('more than was ordered is credited in part, and every reader sees what waits; reversed, it goes as a whole', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  const data = await arrives(engine, order, { transactionAmount: '6000.5' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  const proposed = await alice.propose(id, { decision: 'credit', reason: 'what was ordered', onlyOrdered: true });
  expect(proposed.body).toMatchObject({ proposal: { onlyOrdered: true } });
  const decided = (await bob.confirm(id, proposed.body.proposal.id)).body;
  expect(decided.steps).toMatchObject([{ onlyOrdered: true, outcome: 'carried' }, { outcome: 'carried' }]);
  const credits = [{ amount: '5000', rest: '1000.5', transactionCode: data.transactionCode, reversed: null }];
  expect(decided).toMatchObject({ credits, deposit: { standing: 'partly', creditedAmount: '5000' } });
  expect(await deposit(order)).toMatchObject({
    state: 'CREDITED',
    standing: 'partly',
    creditedAmount: '5000',
    credits,
  });
  expect(await walletBalance(engine, order.wallet)).toBe('5000');
  expect((await engine.call('GET', `/v1/wallets/${order.wallet}`)).body.postings).toMatchObject([
    { amount: '5000', transactionCode: data.transactionCode },
  ]);
  const { rows } = await engine.db.owner.query(
    `select data->>'amount' as amount from engine.event where subject = $1 and type = 'deposit.credited'`,
    [order.externalOrderNumber],
  );
  expect(rows).toEqual([{ amount: '5000' }]);
  await engine.auditLedger();

  const about = { externalOrderNumber: order.externalOrderNumber, reason: 'all of it after all' };
  const doubt = (await alice.doubt(about)).body.id;
  await decideTogether(alice, bob, doubt, { decision: 'reverse', keep: true });
  expect(await deposit(order)).toMatchObject({ standing: 'none', creditedAmount: '0', reversal: { kept: true } });
  expect(await walletBalance(engine, order.wallet)).toBe('0');
  await decideTogether(alice, bob, doubt, { decision: 'credit', toDeposit: order.externalOrderNumber });
  expect(await deposit(order)).toMatchObject({
    standing: 'credited',
    creditedAmount: '6000.5',
    credits: [{ rest: '1000.5' }, { amount: '6000.5', rest: null }],
  });
  expect(await walletBalance(engine, order.wallet)).toBe('6000.5');
  await engine.auditLedger();
  expect(await eventFaults(engine.db.owner)).toEqual([]);
});

test('steps that did not count say why', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await arrives(engine, order, { transactionAmount: '4999' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  const waits = (await alice.propose(id, { decision: 'credit', reason: 'looks fine' })).body.proposal.id;
  expectRefusal(await bob.propose(id, { decision: 'reject', reason: 'not to me' }), 409, 'proposal_open');
  expect((await bob.case(id)).steps).toMatchObject([
    { id: waits, outcome: 'waiting', refusal: null },
    { operator: 'bob', outcome: 'refused', refusal: 'proposal_open' },
  ]);
  await bob.confirm(id, waits);
  await until('the case to be closed', async () => (await bob.case(id)).state === 'closed');
  expect((await bob.case(id)).steps).toMatchObject([
    { step: 'propose', outcome: 'carried' },
    { step: 'propose', outcome: 'refused', refusal: 'proposal_open' },
    { step: 'confirm', outcome: 'carried' },
  ]);
});

test('a payment that people credit after the deposit was over is in its credits, and its state stays', async () => {
  const order = await placed(engine, { wallet: newWallet() });
  await byHand(
    engine.db.owner,
    `update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = $1`,
    [order.externalOrderNumber],
  );
  await arrives(engine, order);
  const { id } = await opened(alice, order, 'DEPOSIT_FINAL', 'parked');
  await decideTogether(alice, bob, id, { decision: 'credit' });
  expect(await deposit(order)).toMatchObject({
    state: 'UNPAID',
    final: true,
    standing: 'credited',
    creditedAmount: '5000',
    credits: [{ how: 'people', reversed: null }],
  });
  expect(await walletBalance(engine, order.wallet)).toBe('5000');
});
