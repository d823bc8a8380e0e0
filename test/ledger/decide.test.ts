import { describe, expect, it } from 'vitest';
import { noteProposal } from '../../database/queries/cases.ts';
import { insertCase } from '../support/operators.ts';
import { listCarried } from '../../database/queries/decisions.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import { inTransaction } from '../../database/pool.ts';
import type { Decision } from '../../domain/decision.ts';
import { carryOutDecision, type DecisionItem, recordRefused } from '../../ledger/decide.ts';
import { paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { insertDecision } from '../support/operators.ts';
import { until } from '../support/until.ts';
import { peoplesBooks } from './chains.ts';
import {
  balanceOf,
  creditUntilFree,
  expectCleanBooks,
  newWallet,
  type Payment,
  payment,
  payments,
  postingsOf,
  received,
  lockDeposit,
} from './payments.ts';

const anyRow = () => Promise.resolve(true);

/**
 * A confirmed decision in the books: the rows it waits for, and the transactions that wait for it
 * (docs/reference/ledger.md#locks).
 */
const db = await createTestDatabase();
const { worker, decisions, auditor, slotOf, standingOf } = peoplesBooks(db);

/** A second payment of a deposit, its case, and a decision that two operators have confirmed. */
async function confirmed(of: Payment, decision: Decision = 'credit'): Promise<DecisionItem> {
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, paid(of.order), { receipt: 'other_content', bound: false }),
  );
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'SECOND_CODE' });
  const by = (operator: string) => ({ workflowId, operator });
  const body = { step: 'propose', decision, reason: 'paid twice', keep: false, toDeposit: null } as const;
  const { id: proposalId } = await insertDecision(db.owner, { ...by('alice'), ...body });
  await noteProposal(db.owner, workflowId, proposalId);
  const step = { step: 'confirm', proposal: proposalId, reason: null } as const;
  const { id: confirmationId } = await insertDecision(db.owner, { ...by('bob'), ...step });
  return { workflowId, proposalId, confirmationId };
}

describe('a confirmed credit of a second payment', () => {
  it('goes into suspense and from there to the wallet, under keys that name what they follow', async () => {
    const one = await payment(db.owner);
    const item = await confirmed(one);
    const answer = await carryOutDecision(decisions, item, anyRow);
    expect(answer).toMatchObject({ kind: 'decided', decision: 'credit', decidedBy: 'alice+bob' });
    const [parked, released] = await postingsOf(auditor, one.item.deposit);
    expect(parked!.key).toBe(`suspense:mtpay:${parked!.provider_code}`);
    expect(released).toMatchObject({ key: `after:${parked!.id}`, provider_code: null });
    expect(answer).toMatchObject({ postingId: released!.id });
    // A repeat returns the same, whatever followed.
    expect(await carryOutDecision(decisions, item, anyRow)).toEqual(answer);
    expect((await listCarried(db.owner, item.workflowId)).get(item.proposalId)).toMatchObject({
      outcome: 'decided',
      answer,
    });
  });

  it('is refused where its row is not genuine; a rejection is not asked for that, nor is what was carried out', async () => {
    const one = await payment(db.owner);
    const asked: string[] = [];
    const nobodys = (_: unknown, workflowId: string) => {
      asked.push(workflowId);
      return Promise.resolve(false);
    };
    const [credit, rejection] = [await confirmed(one), await confirmed(one, 'reject')];
    const refused = {
      kind: 'refused',
      refusal: 'not_possible',
      detail: 'its inbox row bears no seal of the API: nobody knows who wrote it',
    };
    expect(await carryOutDecision(decisions, credit, nobodys)).toMatchObject(refused);
    expect(await carryOutDecision(decisions, rejection, nobodys)).toMatchObject({
      kind: 'decided',
      decision: 'reject',
    });
    expect(await carryOutDecision(decisions, credit, nobodys)).toMatchObject(refused);
    expect(asked).toEqual([credit.workflowId]);
  });

  it('that the database itself refused is on record as not possible', async () => {
    const item = await confirmed(await payment(db.owner));
    const answer = await recordRefused(decisions, item, 'the ledger refused it');
    expect(answer).toMatchObject({ kind: 'refused', refusal: 'not_possible', detail: 'the ledger refused it' });
    expect((await listCarried(db.owner, item.workflowId)).get(item.proposalId)).toMatchObject({
      outcome: 'refused',
      answer,
    });
  });

  it('is refused where the machine was first: its money is not booked, so that its code is not used up', async () => {
    const one = await payment(db.owner);
    const item = await confirmed(one);
    const [credit] = await creditUntilFree(worker, [one.item]);
    expect(await carryOutDecision(decisions, item, anyRow)).toMatchObject({
      kind: 'refused',
      refusal: 'credited_meanwhile',
    });
    expect(await postingsOf(auditor, one.item.deposit)).toMatchObject([{ id: credit!.postingId }]);
  });

  it('waits for whoever has the deposit, and nobody in the books waits for it meanwhile', async () => {
    const [one, other] = (await payments(db.owner, 2)) as [Payment, Payment];
    const item = await confirmed(one);
    let answer: Promise<unknown> = Promise.resolve();
    await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, one.item.deposit);
      answer = carryOutDecision(decisions, item, anyRow);
      await until('the decision to wait for the deposit', isWaiting);
      expect(await creditUntilFree(worker, [other.item])).toMatchObject([{ outcome: 'posted' }]);
    });
    expect(await answer).toMatchObject({ kind: 'decided' });
  });

  const isWaiting = async () =>
    (
      await db.owner.query(
        `select from pg_stat_activity where datname = current_database() and usename = 'app_decisions' and wait_event_type = 'Lock'`,
      )
    ).rowCount === 1;
});

describe('people and the machine at once, in one wallet', () => {
  it('never wait for each other in a circle: each deposit has one payment, and the rest is refused', async () => {
    const to = newWallet();
    const some = await payments(db.owner, 120, { order: { wallet: to } });
    const items = await Promise.all(some.map((one) => confirmed(one)));
    const answers = await Promise.allSettled(
      some.flatMap((one, i) => [
        ...(i % 2 === 0 ? [creditUntilFree(worker, [one.item, some[i + 1]!.item])] : []),
        carryOutDecision(decisions, items[i]!, anyRow),
      ]),
    );
    const failed = answers.flatMap((answer) =>
      answer.status === 'rejected' ? [(answer.reason as { code?: string }).code ?? answer.reason] : [],
    );
    expect(failed).toEqual([]);
    for (const { item } of some) {
      const standing = await standingOf(item.deposit);
      expect(standing).toHaveLength(1);
      expect(await slotOf(item.deposit)).toBe(standing[0]);
    }
    expect(Number(await balanceOf(auditor, `wallet:${to}`))).toBe(-5000 * some.length);
  });

  it('settle no deposit that has a payment bound: its workflow ends it', async () => {
    const one = await payment(db.owner);
    await carryOutDecision(decisions, await confirmed(one), anyRow);
    expect(await findDeposit(db.owner, one.item.deposit)).toMatchObject({ state: 'AWAITING_PAYMENT', settledBy: null });
    expect(await creditUntilFree(worker, [one.item])).toMatchObject([{ outcome: 'conflict' }]);
  });
});

it('after all of this, the books are whole', () => expectCleanBooks(auditor));
