import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { noteProposal, openDoubt } from '../../../database/queries/cases.ts';
import { openOwnCase } from '../../../database/queries/callbacks.ts';
import { createPool, inTransaction } from '../../../database/pool.ts';
import { migrate, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { readSteps } from '../../../database/schema/migration-steps.ts';
import type { Decision } from '../../../domain/decision.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { carryOutDecision } from '../../../ledger/decide.ts';
import { order, paid } from '../../support/builders.ts';
import { insertReceived } from '../../support/messages/inbox.ts';
import { eventFindings } from '../../support/events.ts';
import { insertDecision, issueOperators, proofFor } from '../../support/operators.ts';
import { until } from '../../support/until.ts';
import { payment, received } from '../../ledger/payments.ts';
import { copyOfMigrations, emptyDatabase, FILES } from './migrations.ts';

/** Events begin, or change, in a database that is at work, and processes of the version before stay. */
async function before(number = '041') {
  const { url, client } = await emptyDatabase();
  await migrate(client, await copyOfMigrations(FILES.filter((file) => file < number)));
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
  /** All files, or those without the ones that remove what the version before needs; below a number. */
  const upgrade = async (contract: 'now' | 'later', below = '999') =>
    migrate(client, await copyOfMigrations(FILES.filter((file) => file < below)), { contract });
  const told = async (deposit: string) =>
    (
      await owner.query<{ type: string }>('select type from engine.event where subject = $1 order by sequence', [
        deposit,
      ])
    ).rows.map(({ type }) => type);
  /** Of each event, by its name: what its row holds, and its body to the byte. */
  const events = async () => {
    const { rows } = await owner.query<{ name: string; type: string; data: object; body: string }>(
      'select b.name, e.type, e.data, b.body::text as body from engine.event e join engine.event_body b on b.id = e.id order by e.id',
    );
    return rows;
  };
  return { owner, worker, decisions, credited, doubt, confirmed, decided, second, upgrade, told, events };
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
    // An index is built only after everybody who waits here.
    await on.upgrade('later', '042');
  });
  await answer;
  expect(await on.told(deposit)).toEqual(['deposit.reversed']);
  await on.upgrade('later');
  expect(await eventFindings(on.owner)).toEqual([]);
});

test('an event of before keeps its row and its body to the byte; later ones hold less and say as much', async () => {
  const on = await before('043');
  const everything = async () => {
    const { deposit } = await on.credited();
    await on.decided(await on.doubt(deposit), 'reverse');
    const open = await payment(on.owner);
    await creditAll(on.worker, [open.item]);
    await on.decided(await on.second(open), 'credit');
    const unknown = { deposit: null, receipt: 'unknown_order', reviewReason: 'UNKNOWN_ORDER' } as const;
    const { id } = await insertReceived(on.owner, paid(order()), unknown);
    await inTransaction(on.owner, (client) => openOwnCase(client, id));
  };
  await everything();
  const old = await on.events();
  expect(new Set(old.map(({ type }) => type)).size).toBeGreaterThan(4);
  await on.upgrade('later');
  expect(await on.events()).toEqual(old);

  await everything();
  const added = (await on.events()).slice(old.length);
  expect(await on.events()).toEqual([...old, ...added]);
  const said = (type: string, of: typeof old) =>
    Object.keys((JSON.parse(of.find((one) => one.type === type)!.body) as { data: object }).data);
  for (const { type, data, body } of added) {
    expect(Object.keys(data), type).toEqual(expect.not.arrayContaining(['externalOrderNumber', 'wallet', 'asked']));
    expect(Object.keys((JSON.parse(body) as { data: object }).data), type).toEqual(said(type, old));
  }
  expect(await eventFindings(on.owner)).toEqual([]);
});

test('a credit that waits while the migration is in the way is told, in either form', async () => {
  const on = await before('043');
  const [{ item }, first] = [await payment(on.owner), await on.credited()];
  const steps = readSteps(await readFile(join(MIGRATIONS, '043-lean-events.sql'), 'utf8'))!;
  for (const { sql } of steps.indexes) await on.owner.query(sql);
  let answer: ReturnType<typeof creditAll> = Promise.resolve([]);
  await inTransaction(on.owner, async (client) => {
    await client.query(steps.sql);
    answer = creditAll(on.worker, [item]);
    await until('the credit to wait for the table', async () => {
      const { rowCount } = await on.owner.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%engine.credit%'`,
      );
      return rowCount === 1;
    });
  });
  expect(await answer).toMatchObject([{ outcome: 'posted' }]);
  expect(await on.told(item.deposit)).toEqual(await on.told(first.deposit));
  const deliveries = await readFile(join(MIGRATIONS, '044-deliveries.sql'), 'utf8');
  await inTransaction(on.owner, (client) => client.query(deliveries));
  expect(await eventFindings(on.owner)).toEqual([]);
});
