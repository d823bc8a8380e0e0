import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { Payment } from '../../domain/order.ts';
import { confirm, withdraw } from '../../workflows/messages.ts';
import { paid } from '../support/builders.ts';
import { recordHistory } from '../support/workflows/histories.ts';
import { peopleOf } from '../support/workflows/people.ts';
import { away, situations } from '../support/workflows/situations.ts';
import { until } from '../support/until.ts';
import { type Reserved, startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/** Every path of a decision, on a real server and a real database; the rows are written as the API writes them. */
const world = await startWorkflowWorld('real');
const { openCase, proposes, confirms, withdraws } = peopleOf(world);
const { short, late, second } = situations(world);

const kinds = async (reserved: Reserved) =>
  (
    await world.db.owner.query<{ kind: string }>('select kind from ledger.transaction where deposit = $1 order by id', [
      reserved.order.externalOrderNumber,
    ])
  ).rows.map((row) => row.kind);

test('a deposit credited by two people: CREDITED, one posting into suspense and one out of it', async () => {
  const of = await short();
  const decided = await confirms('bob', of, await proposes('alice', of, 'credit'));
  expect(decided).toMatchObject({ kind: 'decided', decision: 'credit', decidedBy: 'alice+bob' });
  expect(await of.handle.result()).toMatchObject({
    state: 'CREDITED',
    postingId: (decided as { postingId: string }).postingId,
  });
  expect(await kinds(of.reserved)).toEqual(['suspense', 'release']);
  await recordHistory('decided-credit', of.handle);
});

test('a deposit rejected by two people: REJECTED, nothing posted', async () => {
  const of = await short();
  await confirms('alice', of, await proposes('bob', of, 'reject'));
  expect(await of.handle.result()).toMatchObject({ state: 'REJECTED', postingId: null });
  expect(await kinds(of.reserved)).toEqual([]);
  await recordHistory('decided-reject', of.handle);
});

test('withdrawn, proposed anew and confirmed: the last proposal is the one that counts', async () => {
  const of = await short();
  await withdraws('bob', of, await proposes('alice', of, 'credit'));
  await confirms('alice', of, await proposes('bob', of, 'reject'));
  expect(await of.handle.result()).toMatchObject({ state: 'REJECTED' });
  await recordHistory('decided-after-withdrawal', of.handle);
});

test('one person up to the limit', async () => {
  const of = await short({ reviewLimit: '4999' });
  await confirms('alice', of, await proposes('alice', of, 'credit'));
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('decided-alone', of.handle);
});

test('late money waits in suspense; rejected it goes back', async () => {
  const of = await late();
  expect(await kinds(of.reserved)).toEqual(['suspense']);
  await confirms('bob', of, await proposes('alice', of, 'reject'));
  expect(await of.handle.result()).toMatchObject({ state: 'REJECTED', late: true });
  expect(await kinds(of.reserved)).toEqual(['suspense', 'reversal']);
  await recordHistory('decided-late-reject', of.handle);
});

test('a second payment is parked as its case opens; credited it is a posting of its own', async () => {
  const of = await second('SECOND_CODE');
  await until('the money to be parked', async () => (await kinds(of.reserved)).includes('suspense'));
  const { beside } = of;
  await confirms('bob', of, await proposes('alice', of, 'credit', { beside }));
  expect(await of.handle.result()).toMatchObject({ decision: 'credit', decidedBy: 'alice+bob' });
  expect(await kinds(of.reserved)).toEqual(['credit', 'suspense', 'release']);
  await recordHistory('review-parked-credit', of.handle);
});

test('a stale payment is not parked; rejected it leaves nothing behind', async () => {
  const of = await second('STALE');
  await confirms('bob', of, await proposes('alice', of, 'reject'));
  expect(await of.handle.result()).toMatchObject({ decision: 'reject', postingId: null });
  expect(await kinds(of.reserved)).toEqual(['credit']);
  await recordHistory('review-reject', of.handle);
});

/** The case of an operator who doubts a credit. */
const doubted = (of: Reserved, payment: Payment, postingId: string, reason: string) =>
  openCase({
    inboxId: payment.inboxId,
    externalOrderNumber: of.order.externalOrderNumber,
    reason: 'CREDIT_IN_DOUBT',
    transactionCode: payment.transactionCode,
    payment,
    order: { ...of.order, settings: of.settings },
    standing: 'credited',
    doubt: { postingId, operator: 'alice', reason },
    workflowId: `review:${payment.inboxId}:reversal:1`,
  });

test('a credit in doubt, taken out of its wallet and put into another', async () => {
  const [wrong, right] = [
    await world.reserve({ wallet: 'wallet-wrong' }),
    await world.reserve({ wallet: 'wallet-right' }),
  ];
  const handle = await world.start(wrong);
  const payment = await world.receive(paid(wrong.order));
  await world.signal(handle, payment);
  const { postingId } = (await handle.result()) as { postingId: string };
  const doubt = await doubted(wrong, payment, postingId, 'the wallet is another');
  const of = { handle: doubt, inboxId: payment.inboxId };
  const taken = await confirms('bob', of, await proposes('alice', of, 'reverse', { keep: true }));
  expect(taken).toMatchObject({ kind: 'withdrawn' });
  const { externalOrderNumber } = right.order;
  await confirms('bob', of, await proposes('alice', of, 'credit', { toDeposit: externalOrderNumber }));
  expect(await doubt.result()).toMatchObject({ decision: 'credit' });
  expect(await kinds(wrong)).toEqual(['credit', 'reversal']);
  expect(await kinds(right)).toEqual(['release']);
  await recordHistory('reversal-kept-and-released', doubt);
});

test('more came than was ordered: the wallet gets what was ordered, the rest waits, and all of it can be taken back', async () => {
  const reserved = await world.reserve({ wallet: 'wallet-more' });
  const handle = await world.start(reserved);
  const payment = await world.receive(paid(reserved.order, { transactionAmount: '5100.5' }));
  await world.signal(handle, payment);
  await until('the deposit to be in review', async () => {
    const row = await world.state(reserved.order.externalOrderNumber);
    return row.state === 'IN_REVIEW';
  });
  const of = { handle, inboxId: payment.inboxId };
  await confirms('bob', of, await proposes('alice', of, 'credit', { onlyOrdered: true }));
  const { postingId } = (await handle.result()) as { postingId: string };
  const holds = async (code: string) =>
    (
      await world.db.owner.query<{ amount: string }>(
        'select trim_scale(-b.amount)::text as amount from ledger.balance b join ledger.account a on a.id = b.account_id where a.code = $1',
        [code],
      )
    ).rows[0]!.amount;
  const waits = await holds('suspense:mtpay');
  expect(await holds('wallet:wallet-more')).toBe('5000');

  const doubt = await doubted(reserved, payment, postingId, 'none of it is ours');
  const again = { handle: doubt, inboxId: payment.inboxId };
  await confirms('bob', again, await proposes('alice', again, 'reverse'));
  expect(await doubt.result()).toMatchObject({ decision: 'reverse' });
  expect(await holds('wallet:wallet-more')).toBe('0');
  expect(Number(waits) - Number(await holds('suspense:mtpay'))).toBe(100.5);
  const { rows } = await world.db.owner.query('select * from ledger.audit() where found <> 0');
  expect(rows).toEqual([]);
});

test('a confirmation whose row is not there is refused by the books, and the proposal waits on', async () => {
  const of = await short();
  const proposal = await proposes('alice', of, 'credit');
  const forged = { decisionId: '999999', proposalId: proposal, operator: 'bob' };
  expect(await of.handle.executeUpdate(confirm, { args: [forged] })).toMatchObject({
    kind: 'refused',
    refusal: 'not_written',
  });
  expect(await kinds(of.reserved)).toEqual([]);
  await confirms('bob', of, proposal);
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('decided-after-forged-confirmation', of.handle);
});

test('the id that the next row will get is confirmed by hand: when it is there, its own confirmation counts', async () => {
  const of = await short();
  const proposal = await proposes('alice', of, 'credit');
  const decisionId = String(BigInt(proposal) + 1n);
  const byHand = { decisionId, proposalId: proposal, operator: 'eve' };
  expect(await of.handle.executeUpdate(confirm, { args: [byHand] })).toMatchObject({ refusal: 'not_written' });
  expect(await confirms('bob', of, proposal)).toMatchObject({ kind: 'decided', decidedBy: 'alice+bob' });
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('decided-after-early-confirmation', of.handle);
});

test('a decision that the books refuse leaves the case open, and another one is carried out', async () => {
  const of = await second('SECOND_CODE');
  await until('the money to be parked', async () => (await kinds(of.reserved)).includes('suspense'));
  // The proposal names no credit beside which to put it.
  expect(await confirms('bob', of, await proposes('alice', of, 'credit'))).toMatchObject({
    kind: 'refused',
    refusal: 'credited_meanwhile',
    standing: 'parked',
  });
  expect(await kinds(of.reserved)).toEqual(['credit', 'suspense']);
  const { beside } = of;
  await confirms('bob', of, await proposes('alice', of, 'credit', { beside }));
  expect(await of.handle.result()).toMatchObject({ decision: 'credit' });
  await recordHistory('decided-after-refusal', of.handle);
});

test('the books are away when a decision is due: the durable activity carries it out once they are back', async () => {
  const of = await short();
  let failures = 2;
  world.instead('decide', of.reserved.order.externalOrderNumber, async (decide) => {
    if (failures-- > 0) throw away();
    return decide();
  });
  await confirms('bob', of, await proposes('alice', of, 'credit'));
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(failures).toBeLessThan(0);
  await recordHistory('decided-durably', of.handle);
});

test('a decision carried out twice is one posting: the answer of the first was lost', async () => {
  const of = await short();
  let lost = 1;
  world.instead('decide', of.reserved.order.externalOrderNumber, async (decide) => {
    const answer = await decide();
    if (lost-- > 0) throw Object.assign(new Error('connection reset'), { code: 'ECONNRESET' });
    return answer;
  });
  const decided = await confirms('bob', of, await proposes('alice', of, 'credit'));
  expect(decided).toMatchObject({ kind: 'decided', decision: 'credit' });
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(await kinds(of.reserved)).toEqual(['suspense', 'release']);
});

/** An activity that fails as a local one; its durable run takes effect and returns after `release`. */
function slow(activity: 'park' | 'recordReview', about: string) {
  let release = () => {};
  let tookEffect = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const effect = new Promise<void>((resolve) => (tookEffect = resolve));
  let runs = 0;
  world.instead(activity, about, async (real) => {
    if (runs++ === 0) throw away();
    const answer = await real();
    tookEffect();
    await released;
    return answer;
  });
  return { effect, release };
}

test('a proposal that comes while the money is being parked waits for that, and counts', async () => {
  let parking: ReturnType<typeof slow>;
  const of = await second('SECOND_CODE', (workflowId) => (parking = slow('park', workflowId)));
  await parking!.effect;
  const proposed = proposes('alice', of, 'credit', { beside: of.beside });
  await accepted(of.handle);
  parking!.release();
  await confirms('bob', of, await proposed);
  expect(await of.handle.result()).toMatchObject({ decision: 'credit', decidedBy: 'alice+bob' });
  expect(await kinds(of.reserved)).toEqual(['credit', 'suspense', 'release']);
  await recordHistory('review-proposed-while-parking', of.handle);
});

test('a proposal that comes while the case is being written down waits for that; a second one is refused', async () => {
  const reserved = await world.reserve();
  const writing = slow('recordReview', reserved.order.externalOrderNumber);
  const handle = await world.start(reserved);
  const payment = await world.receive(paid(reserved.order, { transactionAmount: '4999' }));
  await world.signal(handle, payment);
  await writing.effect;
  const of = { handle, inboxId: payment.inboxId };
  const first = proposes('alice', of, 'credit');
  await accepted(handle);
  const second = proposes('bob', of, 'reject').catch((error: Error) => error.cause);
  await accepted(handle, 2);
  writing.release();
  await first;
  expect(await second).toMatchObject({ type: 'proposal_open' });
  await confirms('bob', of, await first);
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('decided-proposed-early', handle);
});

test('whoever confirms or withdraws before there is a case has nothing to confirm or withdraw', async () => {
  let parking: ReturnType<typeof slow>;
  const of = await second('SECOND_CODE', (workflowId) => (parking = slow('park', workflowId)));
  await parking!.effect;
  const fault = (error: Error) => error.cause;
  const step = { decisionId: '1', proposalId: '1', operator: 'bob' };
  const confirmed = of.handle.executeUpdate(confirm, { args: [step] }).catch(fault);
  const withdrawn = of.handle.executeUpdate(withdraw, { args: [{ ...step, reason: 'no reason' }] }).catch(fault);
  await accepted(of.handle, 2);
  parking!.release();
  for (const refused of [await confirmed, await withdrawn]) expect(refused).toMatchObject({ type: 'no_proposal' });
  await confirms('bob', of, await proposes('alice', of, 'reject'));
  expect(await of.handle.result()).toMatchObject({ decision: 'reject' });
  expect(await kinds(of.reserved)).toEqual(['credit', 'suspense', 'reversal']);
});

const accepted = (handle: WorkflowHandle, count = 1) =>
  until('the step to be accepted', async () => {
    const events = (await handle.fetchHistory()).events ?? [];
    return events.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length === count;
  });

test('updates of another shape are refused and leave no trace', async () => {
  const of = await short();
  const events = async () =>
    (await of.handle.fetchHistory()).events?.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes) ??
    [];
  for (const args of [
    [null],
    [{}],
    [{ decisionId: '1', decision: 'steal', reason: 'because', operator: 'eve', keep: false, toDeposit: null }],
  ]) {
    const sent = { args: args as [never] };
    await expect(of.handle.executeUpdate('propose', sent)).rejects.toMatchObject({ cause: { type: 'malformed' } });
    await expect(of.handle.executeUpdate('confirm', sent)).rejects.toThrow();
  }
  expect(await events()).toEqual([]);
});
