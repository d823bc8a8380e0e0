import { expect, test } from 'vitest';
import { arrives, opened, operator, placed } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { startEngine } from '../../support/engine.ts';
import { cameEarlier } from '../../support/seals.ts';
import { until } from '../../support/until.ts';
import { confirm } from '../../../workflows/messages.ts';

/** Steps that arrive while a decision is carried out: each counts or is refused, and the response reports which. */
const engine = await startEngine();
const [alice, bob, carol] = [
  await operator(engine, 'alice'),
  await operator(engine, 'bob'),
  await operator(engine, 'carol'),
];
const reason = 'by the statement';

/** The role of decisions lacks its rights for a while: decisions wait. */
async function whileAway(work: () => Promise<void>): Promise<void> {
  await engine.db.owner.query(
    'revoke execute on function engine.bring_in(text, bigint, bigint, text) from app_decisions',
  );
  try {
    await work();
  } finally {
    await engine.db.owner.query(
      'grant execute on function engine.bring_in(text, bigint, bigint, text) to app_decisions',
    );
  }
}

async function proposed() {
  const order = await placed(engine);
  await arrives(engine, order, { transactionAmount: '4999' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  const { body } = await alice.propose(id, { decision: 'credit', reason });
  return { order, id: id as string, proposal: body.proposal.id as string };
}

const carried = (proposal: string) =>
  until('it to be carried out', async () => {
    const { rows } = await engine.db.owner.query('select outcome, answer from engine.carried where proposal = $1', [
      proposal,
    ]);
    return rows[0];
  });

test('a withdrawal while a decision waits to be carried out is refused, and the decision is carried out', async () => {
  const { id, proposal } = await proposed();
  await whileAway(async () => {
    expect((await bob.confirm(id, proposal)).status).toBe(202);
    const withdrawn = await carol.withdraw(id, proposal);
    expect(withdrawn).toMatchObject({ status: 409, body: { code: 'case_closed' } });
  });
  expect(await carried(proposal)).toMatchObject({ outcome: 'decided' });
  const { steps } = await alice.case(id);
  expect(steps.map(({ step, outcome }: { step: string; outcome: string }) => [step, outcome])).toEqual([
    ['propose', 'carried'],
    ['confirm', 'carried'],
    ['withdraw', 'refused'],
  ]);
});

test('a confirmation that was refused moves nothing later, whoever tells it again', async () => {
  const { id, proposal } = await proposed();
  const handle = engine.client.workflow.getHandle(id);
  let forged: Promise<unknown> = Promise.resolve();
  await whileAway(async () => {
    const nobody = { decisionId: '900000000000000000', proposalId: proposal, operator: 'eve' };
    const update = await handle.startUpdate(confirm, { args: [nobody], waitForStage: 'ACCEPTED' });
    forged = update.result();
    expect(await bob.confirm(id, proposal)).toMatchObject({ status: 409, body: { code: 'case_closed' } });
  });
  expect(await forged).toMatchObject({ refusal: 'not_written' });
  const { rows } = await engine.db.owner.query<{ id: string }>(
    `select id from engine.decision where proposal = $1 and step = 'confirm'`,
    [proposal],
  );
  const again = { decisionId: rows[0]!.id, proposalId: proposal, operator: 'bob' };
  expect(await handle.executeUpdate(confirm, { args: [again] })).toMatchObject({ refusal: 'not_written' });
  expect((await bob.confirm(id, proposal)).status).toBe(200);
});

test('a step that its case does not answer in time is 503 with Retry-After; repeated after a look at the case, it counts once', async () => {
  const order = await placed(engine);
  await arrives(engine, order, { transactionAmount: '4999' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  const step = { decision: 'reject', reason };
  await engine.stopWorker();
  const unanswered = await alice.propose(id, step);
  expectRefusal(unanswered, 503, 'unavailable');
  expect(unanswered.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  await engine.startWorker();
  const shown = await until('the proposal', async () => {
    const found = await alice.case(id);
    if (found.proposal !== null) return found;
    expect([200, 409, 503]).toContain((await alice.propose(id, step)).status);
    return null;
  });
  expect(shown.proposal).toMatchObject({ operator: 'alice', decision: 'reject' });
  expectRefusal(await alice.propose(id, step), 409, 'proposal_open');
  expect((await bob.confirm(id, shown.proposal.id)).body).toMatchObject({ state: 'closed', decision: 'reject' });
});

test('an order that appears after its callback became a case: it is credited without being named, and read truly', async () => {
  const body = engine.body();
  const n = body['externalOrderNumber'] as string;
  const data = paid({ externalOrderNumber: n, currencyCode: 'CNY' } as Parameters<typeof paid>[0]);
  const send = () => engine.callback(callbackAddress(engine, n), callbackBody(engine, data));
  expect((await send()).status).toBe(503);
  await cameEarlier(engine.db.owner, n, 7 * 3_600_000);
  expect((await send()).status).toBe(200);
  const found = await until('its case', async () =>
    (await alice.list('?limit=200')).items.find(
      (item: { externalOrderNumber: string }) => item.externalOrderNumber === n,
    ),
  );
  expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(201);
  const { body: shown } = await alice.propose(found.id, { decision: 'credit', reason });
  expect((await bob.confirm(found.id, shown.proposal.id)).status).toBe(200);
  const deposit = await engine.untilState(n, 'CREDITED');
  expect(deposit).toMatchObject({ transactionCode: data.transactionCode, standing: 'credited' });
  expect(deposit.attempts.count).toBeGreaterThan(0);
  expect(await engine.client.workflow.getHandle(`deposit:${n}`).result()).toMatchObject({ state: 'CREDITED' });
});
