import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';
import { expect, test } from 'vitest';
import { confirm, lookAgain, propose } from '../../workflows/messages.ts';
import { paid } from '../support/builders.ts';
import { peopleOf } from '../support/workflows/people.ts';
import { situations } from '../support/workflows/situations.ts';
import { until } from '../support/until.ts';
import { eventsOf, resetTo, taskOf } from '../support/workflows/reset.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/**
 * Steps sent to Temporal by hand, while the database is slow to show that they have no rows. No case is frozen, ended
 * or answered by rows of another case.
 */
const world = await startWorkflowWorld('real');
const { openCase, proposes, confirms, withdraws } = peopleOf(world);
const { untilState, asked, held, short, second, about, doubted, together } = situations(world);

const Exclude = proto.temporal.api.enums.v1.ResetReapplyExcludeType;

const body = { decision: 'credit' as const, reason: 'compared with the statement', keep: false, toDeposit: null };
const outcome = (work: Promise<unknown>) =>
  work.then(
    (answer) => answer,
    (error: Error & { cause?: unknown }) => error.cause,
  );

/** A proposal and its confirmation, both by hand, the confirmation before the proposal is found to be forged. */
async function bothByHand(of: Awaited<ReturnType<typeof short>>, proposalId: string, decisionId: string) {
  const slow = held('recordProposal', of.reserved.order.externalOrderNumber);
  const proposed = outcome(
    of.handle.executeUpdate(propose, { args: [{ decisionId: proposalId, operator: 'alice', ...body }] }),
  );
  await slow.asked;
  const confirmed = outcome(of.handle.executeUpdate(confirm, { args: [{ decisionId, proposalId, operator: 'bob' }] }));
  expect(await confirmed).toMatchObject({ kind: 'refused', refusal: 'not_written' });
  slow.release();
  expect(await proposed).toMatchObject({ type: 'not_written' });
}

test.each([
  ['no row ids at all', 'x', 'y'],
  ['rows that are not there', '900000000000000000', '900000000000000001'],
] as const)(
  'both steps by hand, naming %s: nothing comes of it, and people decide',
  async (_, proposal, confirmation) => {
    const of = await short();
    await bothByHand(of, proposal, confirmation);
    await together(of, 'credit');
    expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  },
);

test('both steps by hand, naming the rows that decided another case: this one is not decided', async () => {
  const other = await short();
  const proposal = await proposes('alice', other, 'credit');
  await confirms('bob', other, proposal);
  await other.handle.result();
  const { rows } = await world.db.owner.query<{ confirmation: string }>(
    'select confirmation from engine.carried where proposal = $1',
    [proposal],
  );
  const of = await short();
  await bothByHand(of, proposal, rows[0]!.confirmation);
  expect(await world.state(of.reserved.order.externalOrderNumber)).toMatchObject({ state: 'IN_REVIEW' });
  await together(of, 'reject');
  expect(await of.handle.result()).toMatchObject({ state: 'REJECTED' });
});

test('a proposal that the books refused waits no more, whoever tells it again', async () => {
  const of = await second('STALE');
  const refused = await proposes('alice', of, 'credit');
  expect(await confirms('bob', of, refused)).toMatchObject({ kind: 'refused', refusal: 'credited_meanwhile' });
  const again = of.handle.executeUpdate(propose, { args: [{ decisionId: refused, operator: 'alice', ...body }] });
  expect(await outcome(again)).toMatchObject({ type: 'not_written' });
  await together(of, 'reject');
  expect(await of.handle.result()).toMatchObject({ decision: 'reject' });
});

test('a refused decision has moved nothing: the other deposit was paid while the proposal waited', async () => {
  const of = await second('STALE');
  const other = await world.reserve({ wallet: 'wallet-paid-meanwhile' });
  const { externalOrderNumber } = other.order;
  const proposal = await proposes('alice', of, 'credit', { toDeposit: externalOrderNumber });
  const handle = await world.start(other);
  await world.signal(handle, await world.receive(paid(other.order)));
  await handle.result();
  const codes = async () =>
    (
      await world.db.owner.query('select id from ledger.transaction where provider_code = $1', [
        of.input.transactionCode,
      ])
    ).rowCount;
  expect(await confirms('bob', of, proposal)).toMatchObject({
    kind: 'refused',
    refusal: 'credited_meanwhile',
    standing: 'nothing',
  });
  expect(await codes()).toBe(0);
});

/**
 * Resets Temporal to a state older than the row, as after a restore: to the last task before now. Returns the new run.
 */
async function rewinds(
  of: { readonly handle: WorkflowHandle },
  meanwhile: () => Promise<void>,
): Promise<WorkflowHandle> {
  const { workflowId } = of.handle;
  const { runId } = await of.handle.describe();
  const before = await taskOf(of.handle, 'last');
  await meanwhile();
  await of.handle.result();
  await resetTo(world.client.workflow, of.handle, runId, before, {
    resetReapplyExcludeTypes: [Exclude.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, Exclude.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE],
  });
  const handle = world.client.workflow.getHandle(workflowId);
  await until('it to run again', async () => {
    const now = await handle.describe();
    return now.runId !== runId && now.status.name === 'RUNNING';
  });
  return handle;
}

test('a confirmation by hand while a decided case looks again: its workflow ends', async () => {
  const of = await second('STALE');
  await withdraws('alice', of, await proposes('alice', of, 'reject'));
  let proposal = '';
  const handle = await rewinds(of, async () => {
    proposal = await proposes('alice', of, 'reject');
    await confirms('bob', of, proposal);
  });
  const slow = held('caseOutcome', of.handle.workflowId);
  await handle.signal(lookAgain);
  await slow.asked;
  const reject = { ...body, decision: 'reject' as const };
  void outcome(handle.executeUpdate(propose, { args: [{ decisionId: proposal, operator: 'alice', ...reject }] }));
  void outcome(handle.executeUpdate(confirm, { args: [{ decisionId: 'x', proposalId: proposal, operator: 'bob' }] }));
  slow.release();
  expect(await handle.result()).toMatchObject({ decision: 'reject' });
});

test('rejected though another payment was credited, and Temporal is older: workflow and row say the same', async () => {
  const reserved = await world.reserve({ wallet: 'wallet-of-another' });
  const { externalOrderNumber } = reserved.order;
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await together(await short(), 'credit', { toDeposit: externalOrderNumber });
  const payment = await world.receive(paid(reserved.order));
  await world.signal(handle, payment);
  await untilState(reserved, 'IN_REVIEW');
  const of = { handle, inboxId: payment.inboxId };
  await withdraws('alice', of, await proposes('alice', of, 'reject'));
  const again = await rewinds(of, async () => {
    await together(of, 'reject');
  });
  await again.signal(lookAgain);
  const row = await world.state(externalOrderNumber);
  expect(await again.result()).toMatchObject({ state: 'CREDITED', postingId: row.posting_id });
});

test('credited to the wallet of another deposit: workflow and row both say that this one was rejected', async () => {
  const [of, other] = [await short(), await world.reserve({ wallet: 'wallet-of-another' })];
  await together(of, 'credit', { toDeposit: other.order.externalOrderNumber });
  expect(await of.handle.result()).toMatchObject({ state: 'REJECTED', postingId: null });
  expect(await world.state(of.reserved.order.externalOrderNumber)).toMatchObject({ state: 'REJECTED' });
  expect((await of.handle.describe()).searchAttributes).toMatchObject({ DepositState: ['REJECTED'] });
});

test('a rejection in doubt says nothing of a payment that was put into the wallet since', async () => {
  const of = await short();
  await together(of, 'reject');
  await of.handle.result();
  await together(await short(), 'credit', { toDeposit: of.reserved.order.externalOrderNumber });
  const handle = await openCase({
    ...about(of.reserved, of.inboxId),
    reason: 'DECISION_IN_DOUBT',
    transactionCode: of.payment.transactionCode,
    payment: of.payment,
    standing: 'nothing',
    workflowId: `review:${of.inboxId}:reversal:1`,
  });
  expect(await together({ handle, inboxId: of.inboxId }, 'reject')).not.toHaveProperty('settled');
  expect(await world.state(of.reserved.order.externalOrderNumber)).toMatchObject({
    state: 'REJECTED',
    posting_id: null,
  });
});

// A case reads its row after a restore of PostgreSQL to an older state: the row differs from the workflow's memory.

test('its proposal is none of the row’s: it is dropped, and another is taken', async () => {
  const of = await short();
  await proposes('alice', of, 'reject');
  await world.db.owner.query('update engine.review_case set proposal = null where workflow_id = $1', [
    of.handle.workflowId,
  ]);
  expect(await outcome(proposes('alice', of, 'credit'))).toMatchObject({ type: 'proposal_open' });
  await of.handle.signal(lookAgain);
  await asked(of.handle, 'caseOutcome');
  await together(of, 'credit');
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
});

test('its money lies elsewhere by the row: what may be decided follows from there', async () => {
  const of = await doubted('wallet-restored');
  await world.db.owner.query(
    `select ledger.reverse('by:hand', d.posting_id, true, $2, 'alice+bob', 'not ours', null)
       from engine.deposit d where bound_callback = $1`,
    [of.inboxId, of.handle.workflowId],
  );
  expect(await outcome(proposes('alice', of, 'restore'))).toMatchObject({ type: 'decision_not_allowed' });
  await of.handle.signal(lookAgain);
  await asked(of.handle, 'caseOutcome');
  await together(of, 'restore');
  expect(await of.handle.result()).toMatchObject({ decision: 'restore' });
});

test('a proposal that is being written down when the row is read is not dropped', async () => {
  const of = await short();
  const slow = held('recordProposal', of.reserved.order.externalOrderNumber);
  const proposed = proposes('alice', of, 'credit');
  await slow.asked;
  await of.handle.signal(lookAgain);
  await asked(of.handle, 'caseOutcome');
  slow.release();
  await confirms('bob', of, await proposed);
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
});

test('a proposal that was written down after the row was read is not dropped', async () => {
  const of = await short();
  const slow = held('caseOutcome', of.reserved.order.externalOrderNumber, 'before');
  await of.handle.signal(lookAgain);
  await slow.asked;
  const proposal = await proposes('alice', of, 'credit');
  slow.release();
  await until('the case to have heard', async () => {
    const events = await eventsOf(of.handle);
    const answers = events.filter((event) => event.activityTaskCompletedEventAttributes);
    const done = events.findLast((event) => event.workflowTaskCompletedEventAttributes);
    return answers.length === 2 && Number(done?.eventId) > Number(answers[1]!.eventId);
  });
  await confirms('bob', of, proposal);
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
});
