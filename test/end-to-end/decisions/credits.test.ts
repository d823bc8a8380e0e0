import { describe, expect, test } from 'vitest';
import { arrives, bookedFor, decideTogether, opened, operator, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { byHand } from '../../support/database.ts';

/** The money of one deposit, whoever moves it and however often: what the books hold is what merchants and people read. */
const engine = await startEngine();
const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];

let wallets = 0;
const newWallet = () => `wallet-credits-${(wallets += 1)}`;
const deposit = (order: Order) => engine.deposit(order.externalOrderNumber);

/** Authentic, and stamped so far ahead that no machine may bind it. */
async function arrivesAhead(order: Order): Promise<CallbackData> {
  const data = paid(order);
  const body = callbackBody(engine, data, Date.now() + 10 * 60_000);
  expect((await engine.callback(callbackAddress(engine, order.externalOrderNumber), body)).status).toBe(200);
  return data;
}

async function credited() {
  const order = await placed(engine, { wallet: newWallet() });
  const data = await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  return { order, data };
}

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
      `select kind, body->>'amount' as amount, body->>'transactionCode' as code from engine.outgoing
        where external_order_number = $1 order by kind`,
      [order.externalOrderNumber],
    );
    expect(rows).toEqual([
      { kind: 'deposit.credited', amount: '5000', code: data.transactionCode },
      { kind: 'review.decided', amount: '5000', code: data.transactionCode },
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

    // Proposed when nothing stood in the wallet: the books refuse it, and nothing is parked for it.
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

describe('a callback that cannot be read', () => {
  const FACTS = { transactionCode: 'ATSTATED0001', amount: '5000', currencyCode: 'CNY', paymentPrice: '36000' };
  const credit = { decision: 'credit', reason: 'read in the statement' };
  async function unreadable(code: string) {
    const order = await placed(engine, { wallet: newWallet() });
    await arrives(engine, order, { transactionAmount: 'true' });
    const { id } = await opened(alice, order, 'UNREADABLE', 'unreadable');
    return { order, id: id as string, facts: { ...FACTS, transactionCode: code } };
  }

  test('is credited as two people state it, each for themselves, and by nothing less', async () => {
    const { order, id, facts } = await unreadable('ATSTATED0001');
    expectRefusal(await alice.propose(id, credit), 409, 'facts_required');
    expectRefusal(await alice.propose(id, { decision: 'reject', reason: 'not ours', facts }), 409, 'facts_required');
    const first = await alice.propose(id, { ...credit, facts: { ...facts, amount: '4321' } });
    expect(first.status, first.text).toBe(200);
    expectRefusal(await bob.confirm(id, first.body.proposal.id), 409, 'facts_required');
    const differs = await bob.confirm(id, first.body.proposal.id, facts);
    expectRefusal(differs, 409, 'facts_differ');
    expect(differs.body.detail).toContain('amount');
    expect(await walletBalance(engine, order.wallet)).toBe('0');
    // The next try is to be made from the statement, and not from the other's numbers.
    const between = await bob.case(id);
    expect(between.steps.map((step: { facts: unknown }) => step.facts)).toEqual([null, null]);
    expect(JSON.stringify([between, differs.body, await deposit(order)])).not.toContain('4321');

    const second = await alice.propose(id, { ...credit, facts });
    expect((await bob.confirm(id, second.body.proposal.id, facts)).status).toBe(200);
    expect(await deposit(order)).toMatchObject({
      state: 'CREDITED',
      transactionCode: facts.transactionCode,
      creditedAmount: '5000',
      credits: [{ how: 'people', transactionCode: facts.transactionCode }],
    });
    const whole = await bob.case(id);
    expect(whole).toMatchObject({ state: 'closed', decision: 'credit', decidedBy: 'alice+bob' });
    expect(whole.steps).toMatchObject([
      { outcome: 'refused', refusal: 'facts_differ', facts: { amount: '4321' } },
      { outcome: 'refused', refusal: 'facts_differ', facts: { amount: '5000' } },
      { outcome: 'carried', refusal: null, facts: { ...facts, statementLine: null } },
      { outcome: 'carried', refusal: null, facts: { ...facts, statementLine: null } },
    ]);
    expect((await engine.call('GET', `/v1/wallets/${order.wallet}`)).body.postings).toMatchObject([
      { kind: 'release', transactionCode: facts.transactionCode, amount: '5000' },
    ]);
    await engine.auditLedger();
  });

  test('is warned of to who states it, and nobody else reads what they stated while it waits', async () => {
    const { order, id, facts } = await unreadable('ATSTATED0002');
    const slipped = { ...facts, amount: '50000', statementLine: 'page 7' };
    const proposed = await alice.propose(id, { ...credit, facts: slipped });
    expect(proposed.body.warnings).toEqual(['far more than was ordered: 50000 MTC, and the order asked for 5000 MTC']);
    for (const hands of [alice, bob]) {
      const found = await hands.case(id);
      expect(found).toMatchObject({ warnings: [], proposal: { operator: 'alice' } });
      const told = JSON.stringify([found, await hands.list('?limit=200'), await deposit(order)]);
      for (const word of [slipped.transactionCode, slipped.amount, slipped.statementLine])
        expect(told).not.toContain(word);
    }
    const withdrawn = await alice.withdraw(id, proposed.body.proposal.id, 'a slip of the point');
    expect(withdrawn.body.steps).toMatchObject([
      { step: 'propose', outcome: 'withdrawn', refusal: null, facts: null },
      { step: 'withdraw', outcome: 'carried', refusal: null, facts: null },
    ]);
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expect((await bob.case(id)).steps.every((step: { facts: unknown }) => step.facts === null)).toBe(true);

    // The rejection is doubted: the new case may credit it, as two people state it.
    const doubt = (await alice.doubt({ case: id, reason: 'it is in the statement' })).body.id;
    const stated = await alice.propose(doubt, { ...credit, facts });
    expect((await bob.confirm(doubt, stated.body.proposal.id, facts)).status).toBe(200);
    expect(await deposit(order)).toMatchObject({ state: 'CREDITED', standing: 'credited', creditedAmount: '5000' });
    await engine.auditLedger();
  });

  test('takes no code that another order has, and none that is on the books', async () => {
    const { order: other, data } = await credited();
    const { order, id, facts } = await unreadable(data.transactionCode);
    const foreign = await alice.propose(id, { ...credit, facts });
    expectRefusal(await bob.confirm(id, foreign.body.proposal.id, facts), 409, 'code_stands');
    // The provider sends a readable one meanwhile: it is the deposit's own, and what is stated of it comes too late.
    const readable = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    const { newestCredit } = await alice.case(id);
    const own = { ...facts, transactionCode: readable.transactionCode };
    const late = await alice.propose(id, { ...credit, facts: own, beside: newestCredit });
    expectRefusal(await bob.confirm(id, late.body.proposal.id, own), 409, 'code_stands');
    expect(await alice.case(id)).toMatchObject({ state: 'open', standing: 'unreadable' });
    expect(await deposit(order)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    expect(await deposit(other)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
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
    `select body->>'amount' as amount from engine.outgoing where external_order_number = $1 and kind = 'deposit.credited'`,
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

describe('two payments of one deposit', () => {
  test('of which people credit the unbound one and reject the bound one: it is CREDITED, with the one that stands', async () => {
    const order = await placed(engine, { wallet: newWallet() });
    const ahead = await arrivesAhead(order);
    const unbound = await opened(alice, order, 'STAMP_AHEAD', 'nothing');
    const own = await arrives(engine, order, { transactionAmount: '4999' });
    const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
    expect((await alice.case(id)).otherPayments).toMatchObject([
      { transactionCode: ahead.transactionCode, case: unbound.id, outcome: 'open' },
    ]);
    await decideTogether(alice, bob, unbound.id, { decision: 'credit' });
    // Its own payment has a case of its own, which is not decided by this.
    expect(await deposit(order)).toMatchObject({
      state: 'IN_REVIEW',
      final: false,
      standing: 'credited',
      creditedAmount: '5000',
      credits: [{ transactionCode: ahead.transactionCode, how: 'people' }],
      // What is in review is its own payment.
      review: { reason: 'AMOUNT_MISMATCH' },
      otherPayments: [],
    });
    const found = await alice.case(id);
    expect(found.otherPayments).toMatchObject([{ case: unbound.id, outcome: 'credit' }]);
    expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'as well' }), 409, 'credited_meanwhile');
    await decideTogether(alice, bob, id, { decision: 'reject' });
    const seen = await deposit(order);
    expect(seen).toMatchObject({
      state: 'CREDITED',
      transactionCode: ahead.transactionCode,
      standing: 'credited',
      creditedAmount: '5000',
    });
    const workflow = engine.client.workflow.getHandle(`deposit:${order.externalOrderNumber}`);
    expect(await workflow.result()).toMatchObject({
      state: 'CREDITED',
      postingId: seen.credits[0].postingId,
      transactionCode: ahead.transactionCode,
    });
    expect(await bookedFor(engine, own.transactionCode)).toEqual([]);
    await engine.auditLedger();
  });

  test('decided at once beside the same credit: one goes in, the other is refused and may be decided again', async () => {
    const { order } = await credited();
    // One after the other: two of one millisecond would have one stamp.
    await arrives(engine, order);
    await arrives(engine, order);
    const cases = await until('two cases with money in suspense', async () => {
      const { items } = await alice.list('?limit=200&reason=SECOND_CODE');
      const own = items.filter(
        (one: { externalOrderNumber: string; standing: string }) =>
          one.externalOrderNumber === order.externalOrderNumber && one.standing === 'parked',
      );
      return own.length === 2 && (own as { id: string; newestCredit: string }[]);
    });
    const proposals = await Promise.all(
      cases.map(async ({ id, newestCredit }) => {
        const body = { decision: 'credit', reason: 'paid once more', beside: newestCredit };
        return (await alice.propose(id, body)).body.proposal.id as string;
      }),
    );
    const answers = await Promise.all(cases.map(({ id }, n) => bob.confirm(id, proposals[n]!)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409]);
    const loser = answers.findIndex(({ status }) => status === 409);
    expect(answers[loser]!.body.code).toBe('credited_meanwhile');
    expect(await deposit(order)).toMatchObject({ standing: 'more', creditedAmount: '10000' });
    const { id } = cases[loser]!;
    const left = await alice.case(id);
    expect(left).toMatchObject({ state: 'open', standing: 'parked', proposal: null });
    expect(left.newestCredit).not.toBe(cases[loser]!.newestCredit);
    await decideTogether(alice, bob, id, { decision: 'credit', beside: left.newestCredit });
    expect(await deposit(order)).toMatchObject({ standing: 'more', creditedAmount: '15000' });
    await engine.auditLedger();
  });

  test('of which the first was taken out: put back, it goes beside the one that has its place by now', async () => {
    const { order } = await credited();
    const about = { externalOrderNumber: order.externalOrderNumber, reason: 'recalled' };
    const { id } = (await alice.doubt(about)).body;
    await decideTogether(alice, bob, id, { decision: 'reverse', keep: true });
    await arrives(engine, order);
    const second = await opened(alice, order, 'SECOND_CODE', 'parked');
    expect(second.newestCredit).toBeNull();
    await decideTogether(alice, bob, second.id, { decision: 'credit' });
    const { newestCredit } = await alice.case(id);
    for (const decision of ['restore', 'reject']) {
      expectRefusal(await alice.propose(id, { decision, reason: 'found right' }), 409, 'credited_meanwhile');
    }
    await decideTogether(alice, bob, id, { decision: 'restore', beside: newestCredit });
    const seen = await deposit(order);
    expect(seen).toMatchObject({ state: 'CREDITED', standing: 'more', creditedAmount: '10000' });
    expect(seen).not.toHaveProperty('reversal');
    // The newest is taken out again, by the name of its first posting: the other one has the place from then on.
    const again = (await alice.doubt({ postingId: seen.credits[0].postingId, reason: 'once more' })).body;
    expect(again).toMatchObject({ standing: 'credited' });
    await decideTogether(alice, bob, again.id, { decision: 'reverse' });
    expect(await deposit(order)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    expect(await alice.case(again.id)).toMatchObject({ newestCredit });
    await engine.auditLedger();
  });

  test('money from another order goes beside the credit of the deposit that gets it', async () => {
    const { order: full } = await credited();
    const { order: wrong } = await credited();
    const about = { externalOrderNumber: wrong.externalOrderNumber, reason: 'the wrong customer' };
    const { id } = (await alice.doubt(about)).body;
    await decideTogether(alice, bob, id, { decision: 'reverse', keep: true });
    const credit = { decision: 'credit', reason: 'the right customer', toDeposit: full.externalOrderNumber };
    expectRefusal(await alice.propose(id, credit), 409, 'credited_meanwhile');
    const [{ postingId }] = (await deposit(full)).credits;
    await decideTogether(alice, bob, id, { ...credit, beside: postingId });
    expect(await deposit(full)).toMatchObject({ standing: 'more', creditedAmount: '10000' });
    expect(await deposit(wrong)).toMatchObject({ standing: 'none', creditedAmount: '0', reversal: { kept: false } });
    // Doubted by the posting that is in the wallet now, it goes back to where it was first.
    const moved = (await deposit(full)).credits[1].postingId;
    const again = (await alice.doubt({ postingId: moved, reason: 'not theirs either' })).body.id;
    await decideTogether(alice, bob, again, { decision: 'reverse', keep: true });
    expect(await deposit(full)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    await decideTogether(alice, bob, again, { decision: 'credit', toDeposit: wrong.externalOrderNumber });
    const back = await deposit(wrong);
    expect(back).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    expect(back).not.toHaveProperty('reversal');
    await engine.auditLedger();
  });
});
