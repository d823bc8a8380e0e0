import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arrives, bookedFor, decideTogether, opened, operator, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { startEngine } from '../../support/engine.ts';
import { assertInLanes } from '../../support/lanes.ts';

/** Decisions where one operator suffices up to a limit, and where late money waits for operators. */
const engine = await startEngine({ env: { REVIEW_LIMIT: '1000' } });
const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
const hasty = await startEngine({ env: { LATE_POLICY: 'review', PAYMENT_WINDOW: '200ms' } });
const [carol, dave] = [await operator(hasty, 'carol'), await operator(hasty, 'dave')];

let wallets = 0;
const newWallet = () => `wallet-limited-${(wallets += 1)}`;

/** A payment of `amount` MTC for an order of 2000. */
async function mismatched(amount: string) {
  const order = await placed(engine, { wallet: newWallet(), mtcAmount: '2000' });
  await arrives(engine, order, { transactionAmount: amount, paymentPrice: 100 });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  return { order, id: id as string };
}

describe('the review limit', () => {
  test('is exact: at 1000 MTC one person suffices', async () => {
    const { order, id } = await mismatched('1000.00');
    expect(await alice.case(id)).toMatchObject({ needsTwo: false, reviewLimit: '1000' });
    expect(await decideTogether(alice, alice, id, { decision: 'credit' })).toMatchObject({ decidedBy: 'alice' });
    expect(await walletBalance(engine, order.wallet)).toBe('1000');
  });

  test('and one unit above it takes two', async () => {
    const { order, id } = await mismatched('1000.00000001');
    const { body } = await alice.propose(id, { decision: 'credit', reason: 'looks fine' });
    expectRefusal(await alice.confirm(id, body.proposal.id), 409, 'same_operator');
    await bob.confirm(id, body.proposal.id);
    expect(await walletBalance(engine, order.wallet)).toBe('1000.00000001');
  });

  test('does not count beside another credit: that takes two people, whatever the amount', async () => {
    const order = await placed(engine, { wallet: newWallet(), mtcAmount: '100' });
    const pays = { transactionAmount: '100', paymentPrice: 720 };
    await arrives(engine, order, pays);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    await arrives(engine, order, pays);
    const { id, newestCredit, needsTwo } = await opened(alice, order, 'SECOND_CODE', 'parked');
    expect(needsTwo).toBe(false);
    const reason = 'paid twice';
    const beside = await alice.propose(id, { decision: 'credit', reason, beside: newestCredit });
    expect(beside.body).toMatchObject({ needsTwo: true });
    expectRefusal(await alice.confirm(id, beside.body.proposal.id), 409, 'same_operator');
    await alice.withdraw(id, beside.body.proposal.id);
    // Alone again: the credit in the wallet is reversed first.
    const doubt = await alice.doubt({ externalOrderNumber: order.externalOrderNumber, reason: 'recalled' });
    await decideTogether(alice, alice, doubt.body.id, { decision: 'reverse' });
    expect(await decideTogether(alice, alice, id, { decision: 'credit' })).toMatchObject({ decidedBy: 'alice' });
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({
      standing: 'credited',
      creditedAmount: '100',
    });
    expect(await walletBalance(engine, order.wallet)).toBe('100');
    await engine.auditLedger();
  });

  test('is frozen with the deposit: the books read it from the row and not from a setting', async () => {
    const { id } = await mismatched('900');
    const { rows } = await engine.db.owner.query(
      `select settings->>'reviewLimit' as "limit" from engine.deposit where external_order_number = $1`,
      [id.replace('deposit:', '')],
    );
    expect(rows).toEqual([{ limit: '1000' }]);
  });
});

test('T28: no sequence of one person’s steps credits above the limit', async () => {
  type Step = 'credit' | 'reject' | 'confirm' | 'confirm older' | 'withdraw' | 'both at once';
  const steps = fc.array(
    fc.constantFrom<Step>('credit', 'reject', 'confirm', 'confirm older', 'withdraw', 'both at once'),
    { minLength: 3, maxLength: 10 },
  );
  await assertInLanes(
    fc.asyncProperty(steps, async (sequence) => {
      const { order, id } = await mismatched('1999');
      const proposals: string[] = [];
      const propose = async (decision: string) => {
        const { body, status } = await alice.propose(id, { decision, reason: 'I say so' });
        if (status === 200) proposals.push(body.proposal.id);
      };
      for (const step of sequence) {
        const newest = proposals.at(-1) ?? '1';
        if (step === 'credit' || step === 'reject') await propose(step);
        if (step === 'confirm') await alice.confirm(id, newest);
        if (step === 'confirm older') await alice.confirm(id, proposals[0] ?? '1');
        if (step === 'withdraw') await alice.withdraw(id, newest);
        if (step === 'both at once')
          await Promise.all([propose('credit'), alice.confirm(id, newest), alice.confirm(id, newest)]);
      }
      expect(await walletBalance(engine, order.wallet)).toBe('0');
      expect((await alice.case(id)).state).toBe('open');
    }),
    { numRuns: 20, lanes: 4 },
  );
});

test('a hundred confirmations of two people at once decide once', async () => {
  const { order, id } = await mismatched('1999');
  const { body } = await alice.propose(id, { decision: 'credit', reason: 'looks fine' });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? alice : bob).confirm(id, body.proposal.id)),
  );
  // One workflow takes ten updates at a time; the others may retry.
  expect(answers.filter(({ status }) => status === 200 || status === 202).length).toBeLessThanOrEqual(1);
  expect(answers.every(({ status }) => [200, 202, 409, 503].includes(status))).toBe(true);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  expect(await walletBalance(engine, order.wallet)).toBe('1999');
  await engine.auditLedger();
});

test('late money waits in suspense where the policy asks for people, who credit it or send it back', async () => {
  for (const [decision, state, balance] of [
    ['credit', 'CREDITED', '5000'],
    ['reject', 'REJECTED', '0'],
  ] as const) {
    const order = await placed(hasty, { wallet: newWallet() });
    await hasty.untilState(order.externalOrderNumber, 'EXPIRED');
    const data = await arrives(hasty, order);
    const { id } = await opened(carol, order, 'LATE', 'parked');
    expect(await bookedFor(hasty, data.transactionCode)).toMatchObject([{ kind: 'suspense', amount: '5000' }]);
    await decideTogether(carol, dave, id, { decision });
    expect(await hasty.deposit(order.externalOrderNumber)).toMatchObject({ state, late: true });
    expect(await walletBalance(hasty, order.wallet)).toBe(balance);
  }
  await hasty.auditLedger();
});
