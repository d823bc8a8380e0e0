import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { noteProposal } from '../../database/queries/cases.ts';
import { insertCase } from '../support/operators.ts';
import { refuseStep, type NewDecision } from '../../database/queries/decisions.ts';
import { inTransaction } from '../../database/pool.ts';
import { paid } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { insertDecision, proofFor } from '../support/operators.ts';
import { balanceOf, creditUntilFree, expectCleanBooks, newWallet, payment, postingsOf, received } from './payments.ts';
import type { DecisionAnswer } from '../../domain/decision.ts';

/**
 * The calls that the logins of decisions and of the worker can make of the engine's functions, bypassing the engine's
 * code.
 */
const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');
const decisions = db.poolFor('app_decisions');
const auditor = db.poolFor('auditor');

/** A second payment of a deposit and the case about it. */
async function unbound() {
  const { order } = await payment(db.owner);
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, paid(order), { receipt: 'other_content', bound: false }),
  );
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'SECOND_CODE' });
  return { order, inboxId, workflowId };
}
type Case = Awaited<ReturnType<typeof unbound>>;

const write = async ({ workflowId }: Case, operator: string, step: object) =>
  (await insertDecision(api, { workflowId, operator, ...step } as NewDecision & { operator: string })).id;

async function proposed(of: Case, body: { decision?: 'credit' | 'reject'; toDeposit?: string } = {}) {
  const proposal = { decision: 'credit', reason: 'paid twice', keep: false, toDeposit: null, ...body };
  const id = await write(of, 'alice', { step: 'propose', ...proposal });
  await noteProposal(db.owner, of.workflowId, id);
  return id;
}
const confirmed = (of: Case, proposal: string, by = 'bob') =>
  write(of, by, { step: 'confirm', proposal, reason: null });

/** A confirmation as the table refuses it, put there by hand. */
async function forced({ workflowId, inboxId }: Case, proposal: string, by: string): Promise<string> {
  await byHand(
    db.owner,
    `insert into engine.decision (callback, workflow_id, step, proposal, operator) values ($1, $2, 'confirm', $3, $4)`,
    [inboxId, workflowId, proposal, by],
  );
  const { rows } = await db.owner.query<{ id: string }>('select max(id) as id from engine.decision');
  return rows[0]!.id;
}

async function ask(name: 'bring_in' | 'decide', of: string, proposal: string, confirmation: string, pool = decisions) {
  const { rows } = await pool.query<{ answer: DecisionAnswer | null }>(`select engine.${name}($1, $2, $3) as answer`, [
    of,
    proposal,
    confirmation,
  ]);
  return rows[0]!.answer;
}

/** Both functions refuse it with this code, and nothing is booked. */
async function refused(of: Case, proposal: string, confirmation: string, refusal: string): Promise<void> {
  for (const name of ['decide', 'bring_in'] as const) {
    expect(await ask(name, of.workflowId, proposal, confirmation), name).toMatchObject({ kind: 'refused', refusal });
  }
  expect(await postingsOf(auditor, of.order.externalOrderNumber)).toEqual([]);
}

const carriedOut = async (of: Case, proposal: string, confirmation: string) =>
  (await ask('bring_in', of.workflowId, proposal, confirmation)) ??
  (await ask('decide', of.workflowId, proposal, confirmation));

const codeOf = (query: Promise<unknown>) =>
  query.then(
    () => null,
    (error: unknown) => (error as pg.DatabaseError).code,
  );

describe('the login of decisions moves money as two rows of people say, and not', () => {
  it('a customer’s credit into another wallet, or anywhere, by itself', async () => {
    const { item } = await payment(db.owner);
    const [credit] = await creditUntilFree(worker, [item]);
    const thief = await payment(db.owner, { order: { wallet: newWallet() } });
    for (const pool of [decisions, worker]) {
      for (const [sql, values] of [
        [`select ledger.reverse('after:x', $1, true, 'review:1', 'alice+bob', 'because')`, [credit!.postingId]],
        [`select ledger.give_back('after:x', $1, 'review:1', 'alice+bob', 'because')`, [credit!.postingId]],
        [
          `select ledger.release('after:x', $1, $2, $3, 0, 'review:1', 'alice+bob', 'because')`,
          [credit!.postingId, thief.item.deposit, thief.item.wallet],
        ],
      ] as const) {
        expect(await codeOf(pool.query(sql, [...values])), sql).toBe('42501');
      }
    }
    expect(await ask('decide', 'review:none', '1', '1')).toMatchObject({ kind: 'refused', refusal: 'not_written' });
    expect(await balanceOf(auditor, `wallet:${item.wallet}`)).toBe('-5000');
  });

  it('by steps of another case', async () => {
    const [one, other] = [await unbound(), await unbound()];
    const [p, q] = [await proposed(one), await proposed(other)];
    const [k, l] = [await confirmed(one, p), await confirmed(other, q)];
    await refused(one, q, l, 'not_written');
    await refused(one, p, l, 'not_written');
    await refused(one, q, k, 'not_written');
    await refused(one, k, k, 'not_written');
    await refused(one, p, p, 'not_written');
    // The refused confirmations of another case leave no outcome.
    expect(await carriedOut(one, p, k)).toMatchObject({ kind: 'decided' });
    expect(await carriedOut(other, q, l)).toMatchObject({ kind: 'decided' });
  });

  it('by a confirmation of another proposal', async () => {
    const of = await unbound();
    const k = await confirmed(of, await proposed(of, { decision: 'reject' }));
    await refused(of, await proposed(of), k, 'not_written');
  });

  it('by one person’s two steps above the limit', async () => {
    const of = await unbound();
    const p = await proposed(of);
    await refused(of, p, await forced(of, p, 'alice'), 'unproven');
  });

  it('by a proposal that was withdrawn', async () => {
    const of = await unbound();
    const p = await proposed(of);
    const k = await confirmed(of, p);
    await write(of, 'carol', { step: 'withdraw', proposal: p, reason: 'thought again' });
    await refused(of, p, k, 'withdrawn');
  });

  it.each(['proposal', 'confirmation'] as const)('by a %s that was refused', async (which) => {
    const of = await unbound();
    const p = await proposed(of);
    const k = await confirmed(of, p);
    const [step, by] = which === 'proposal' ? [p, 'alice'] : [k, 'bob'];
    await refuseStep(api, proofFor(by), step, 'proposal_open');
    await refused(of, p, k, 'not_written');
  });

  it('twice by one proposal, at once or with another confirmation, even where the case is open again', async () => {
    const of = await unbound();
    const p = await proposed(of);
    const k = await confirmed(of, p);
    const answers = await Promise.all([carriedOut(of, p, k), carriedOut(of, p, k), carriedOut(of, p, k)]);
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(answers[0]).toMatchObject({ kind: 'decided', decidedBy: 'alice+bob' });
    await byHand(
      db.owner,
      `update engine.review_case set closed_at = null, decision = null, decided_by = null where workflow_id = $1`,
      [of.workflowId],
    );
    const again = await forced(of, p, 'carol');
    expect(await carriedOut(of, p, again)).toMatchObject({ kind: 'refused', refusal: 'unproven' });
    expect(await carriedOut(of, p, k)).toEqual(answers[0]);
    expect(await postingsOf(auditor, of.order.externalOrderNumber)).toHaveLength(2);
  });

  it('by a proposal that the books refused once', async () => {
    const of = await unbound();
    const p = await proposed(of);
    const k = await confirmed(of, p);
    const why = 'the ledger refused it (23514)';
    const { rows } = await decisions.query<{ answer: DecisionAnswer }>(
      `select engine.record_refused($1, $2, $3, $4, 'not_possible') as answer`,
      [of.workflowId, p, k, why],
    );
    expect(rows[0]!.answer).toEqual({ kind: 'refused', refusal: 'not_possible', detail: why, standing: 'nothing' });
    await refused(of, p, k, 'not_possible');
  });

  it('to another wallet than the proposal’s deposit has, nor without the first of its two transactions', async () => {
    const of = await unbound();
    const to = await payment(db.owner);
    const p = await proposed(of, { toDeposit: to.item.deposit });
    const k = await confirmed(of, p);
    expect(await codeOf(ask('decide', of.workflowId, p, k))).toBe('P0L04');
    expect(await carriedOut(of, p, k)).toMatchObject({ kind: 'decided', elsewhere: true });
    expect(await balanceOf(auditor, `wallet:${of.order.wallet}`)).toBe('0');
    expect(await balanceOf(auditor, `wallet:${to.item.wallet}`)).not.toBe('0');
  });

  it('what its inbox row gives reason to doubt: that is refused where money would be credited, and nowhere else', async () => {
    const doubt = async (of: Case, p: string) => {
      const { rows } = await decisions.query<{ answer: DecisionAnswer | null }>(
        `select engine.bring_in($1, $2, $3, 'no seal') as answer`,
        [of.workflowId, p, await confirmed(of, p)],
      );
      return rows[0]!.answer;
    };
    const [credit, reject] = [await unbound(), await unbound()];
    const expected = { kind: 'refused', refusal: 'not_possible', detail: 'no seal', standing: 'nothing' };
    expect(await doubt(credit, await proposed(credit))).toEqual(expected);
    expect(await postingsOf(auditor, credit.order.externalOrderNumber)).toEqual([]);
    expect(await doubt(reject, await proposed(reject, { decision: 'reject' }))).toBeNull();
  });
});

it('nobody else may carry a decision out', async () => {
  const of = await unbound();
  const p = await proposed(of);
  const k = await confirmed(of, p);
  for (const pool of [api, worker, auditor]) {
    for (const name of ['bring_in', 'decide'] as const) {
      expect(await codeOf(ask(name, of.workflowId, p, k, pool))).toBe('42501');
    }
  }
  expect(await postingsOf(auditor, of.order.externalOrderNumber)).toEqual([]);
});

it('after all that was tried, the books are whole', () => expectCleanBooks(auditor));
