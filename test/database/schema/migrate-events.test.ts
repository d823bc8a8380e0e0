import { expect, onTestFinished, test } from 'vitest';
import { noteProposal, openDoubt } from '../../../database/queries/cases.ts';
import { openOwnCase } from '../../../database/queries/callbacks.ts';
import { createPool, inTransaction } from '../../../database/pool.ts';
import { migrate } from '../../../database/schema/migrate.ts';
import type { Decision } from '../../../domain/decision.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { carryOutDecision } from '../../../ledger/decide.ts';
import { paid } from '../../support/builders.ts';
import { eventFindings } from '../../support/events.ts';
import { insertDecision, issueOperators, proofFor } from '../../support/operators.ts';
import { until } from '../../support/until.ts';
import { payment, received } from '../../ledger/payments.ts';
import { copyOfMigrations, emptyDatabase, FILES } from './migrations.ts';

/** Events begin in a database that is at work, and processes of the version before stay. */
async function before() {
  const { url, client } = await emptyDatabase();
  await migrate(client, await copyOfMigrations(FILES.filter((file) => file < '041')));
  const pool = (role: 'app_worker' | 'app_decisions' | undefined) => {
    const made = createPool({ url, ...(role === undefined ? {} : { role }), applicationName: 'test', max: 4 });
    onTestFinished(() => made.end());
    return made;
  };
  const [owner, worker, decisions] = [pool(undefined), pool('app_worker'), pool('app_decisions')];
  await issueOperators(owner);
  const credited = async () => {
    const one = await payment(owner);
    await creditAll(worker, [one.item]);
    return one.item;
  };
  const doubt = async (externalOrderNumber: string) => {
    await openDoubt(owner, proofFor('alice'), { externalOrderNumber }, 'asked');
    const { rows } = await owner.query<{ id: string }>(
      `select v.workflow_id as id from engine.review_case v join engine.callback c on c.id = v.callback
        where c.external_order_number = $1 and v.closed_at is null`,
      [externalOrderNumber],
    );
    return rows[0]!.id;
  };
  const confirmed = async (workflowId: string, decision: Decision, keep = false) => {
    const body = { step: 'propose', decision, reason: 'asked', keep, toDeposit: null } as const;
    const { id: proposalId } = await insertDecision(owner, { workflowId, operator: 'alice', ...body });
    await noteProposal(owner, workflowId, proposalId);
    const step = { step: 'confirm', proposal: proposalId, reason: null } as const;
    const { id: confirmationId } = await insertDecision(owner, { workflowId, operator: 'bob', ...step });
    return { workflowId, proposalId, confirmationId };
  };
  const decided = async (workflowId: string, decision: Decision, keep = false) =>
    carryOutDecision(decisions, await confirmed(workflowId, decision, keep), () => Promise.resolve(true));
  const second = (of: Awaited<ReturnType<typeof payment>>) =>
    inTransaction(owner, async (on) => {
      const id = await received(on, paid(of.order), { receipt: 'other_content', bound: false });
      return (await openOwnCase(on, id))!.workflowId;
    });
  /** All files, or those without the last, which removes what the version before needs. */
  const upgrade = async (contract: 'now' | 'later') => migrate(client, undefined, { contract });
  const told = async (deposit: string) =>
    (
      await owner.query<{ type: string }>('select type from engine.event where subject = $1 order by sequence', [
        deposit,
      ])
    ).rows.map(({ type }) => type);
  return { owner, worker, decisions, credited, doubt, confirmed, decided, second, upgrade, told };
}

test('deposits and cases of before go on, and what they come to is told; the audit has nothing against them', async () => {
  const on = await before();
  const [waiting, over, taken, kept] = [
    await payment(on.owner),
    await on.credited(),
    await on.credited(),
    await on.credited(),
  ];
  const open = await payment(on.owner);
  const openCase = await on.second(open);
  const takenBy = await on.doubt(taken.deposit);
  const keptBy = await on.doubt(kept.deposit);
  await on.decided(keptBy, 'reverse', true);
  await on.upgrade('later');
  expect(await eventFindings(on.owner)).toEqual([]);

  await creditAll(on.worker, [waiting.item]);
  await creditAll(on.worker, [over]);
  expect(await on.decided(takenBy, 'reverse')).toMatchObject({ kind: 'decided' });
  expect(await on.decided(keptBy, 'restore')).toMatchObject({ kind: 'decided' });
  expect(await on.decided(openCase, 'credit')).toMatchObject({ kind: 'decided' });
  expect(await on.told(waiting.item.deposit)).toEqual(['deposit.credited']);
  expect(await on.told(over.deposit)).toEqual([]);
  expect(await on.told(taken.deposit)).toEqual(['deposit.reversed', 'case.decided']);
  expect(await on.told(kept.deposit)).toEqual(['deposit.restored', 'case.decided']);
  expect(await on.told(open.item.deposit)).toEqual(['deposit.payment_added', 'case.decided']);
  expect(await eventFindings(on.owner)).toEqual([]);
  await on.upgrade('now');
  expect(await eventFindings(on.owner)).toEqual([]);
});

test('a decision that began before, and moves its money after, is told as well', async () => {
  const on = await before();
  const { deposit } = await on.credited();
  const item = await on.confirmed(await on.doubt(deposit), 'reverse', true);
  let answer: Promise<unknown> = Promise.resolve();
  await inTransaction(on.owner, async (client) => {
    await client.query('select from engine.review_case where workflow_id = $1 for no key update', [item.workflowId]);
    answer = on.decisions.query('select engine.decide($1, $2, $3)', [
      item.workflowId,
      item.proposalId,
      item.confirmationId,
    ]);
    await until('the decision to wait for its case', async () => {
      const { rowCount } = await on.owner.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%engine.decide%'`,
      );
      return rowCount === 1;
    });
    await on.upgrade('later');
  });
  await answer;
  expect(await on.told(deposit)).toEqual(['deposit.reversed']);
  expect(await eventFindings(on.owner)).toEqual([]);
});
