import { describe, expect, test } from 'vitest';
import { arrives, bookedFor, decideTogether, opened, placed } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { until } from '../../support/until.ts';
import { startDeciding } from './deciding.ts';

/** A deposit with two payments: each credit names the other one that is in the wallet. */
const { engine, alice, bob, newWallet, deposit, arrivesAhead, credited } = await startDeciding();

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
    // Its own payment has a case of its own, unaffected by this decision.
    expect(await deposit(order)).toMatchObject({
      state: 'IN_REVIEW',
      final: false,
      standing: 'credited',
      creditedAmount: '5000',
      credits: [{ transactionCode: ahead.transactionCode, how: 'people' }],
      // Its own payment is in review.
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
    // The newest is reversed again, by the id of its first posting: from then on the other one takes the slot.
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
