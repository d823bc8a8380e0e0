import { describe, expect, test } from 'vitest';
import { arrives, decideTogether, opened, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { startDeciding } from './deciding.ts';

/** Two operators each read the statement; their data replaces a message that no machine can read. */
const { engine, alice, bob, newWallet, deposit, credited } = await startDeciding();

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
    // The next attempt has to be made from the statement, and not from the other operator's numbers.
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

    // The rejection is doubted: the new case may credit it, with the data that two operators state.
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
    expect(foreign.status, foreign.text).toBe(200);
    expectRefusal(await bob.confirm(id, foreign.body.proposal.id, facts), 409, 'code_stands');
    // The provider sends a readable one meanwhile: it is the deposit's own, and the statement about it is too late.
    const readable = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    const { newestCredit } = await alice.case(id);
    const own = { ...facts, transactionCode: readable.transactionCode };
    const late = await alice.propose(id, { ...credit, facts: own, beside: newestCredit });
    expect(late.status, late.text).toBe(200);
    expectRefusal(await bob.confirm(id, late.body.proposal.id, own), 409, 'code_stands');
    expect(await alice.case(id)).toMatchObject({ state: 'open', standing: 'unreadable' });
    expect(await deposit(order)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    expect(await deposit(other)).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    await engine.auditLedger();
  });
});
