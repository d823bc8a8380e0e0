import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { issueKey, type NewKey, proofOf, revokeKeys } from '../../../database/queries/api-keys.ts';
import { findCase, noteProposal, openDepositCase, openDoubt } from '../../../database/queries/cases.ts';
import { insertCase } from '../../support/operators.ts';
import { insertDecision, listDecisions, refuseStep } from '../../../database/queries/decisions.ts';
import { inTransaction } from '../../../database/pool.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { creditAll } from '../../../ledger/credit.ts';
import type { Decision } from '../../../domain/decision.ts';
import { paid } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { proofFor } from '../../support/operators.ts';
import { payment, received, reserved } from '../../ledger/payments.ts';

/**
 * The API's login can act for no operator: each step takes the proof of a person's key
 * (docs/internals/threat-model.md#people).
 */
const db = await createTestDatabase();
const api = db.poolFor('app_api');

/** A second payment of a deposit, and the case about it. */
async function opensCase() {
  const order = await reserved(db.owner);
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, paid(order), { receipt: 'other_content', bound: false }),
  );
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'SECOND_CODE' });
  return { order, inboxId, workflowId };
}
const proposal = { step: 'propose', decision: 'credit', reason: 'seen', keep: false, toDeposit: null } as const;
const proposes = ({ workflowId }: { readonly workflowId: string }, proof: Secret, toDeposit: string | null = null) =>
  insertDecision(api, proof, { workflowId, ...proposal, toDeposit });

async function issues(name: string, more: Partial<NewKey> = {}) {
  const { keyId, key } = await issueKey(db.owner, { name, scopes: ['reviews:decide'], ...more });
  return { keyId, proof: proofOf(key) };
}

/** The database's record of keys, as a backup shows it. */
const kept = async (): Promise<Secret[]> =>
  (await db.owner.query<{ proof_hash: Buffer }>('select proof_hash from engine.api_key')).rows.map(
    (row) => new Secret(row.proof_hash),
  );

describe('the login of the API alone', () => {
  it.each([
    `select proof_hash from engine.api_key`,
    `select * from engine.api_key`,
    `insert into engine.decision (callback, workflow_id, step, decision, reason, operator) values (1, 'review:1', 'propose', 'credit', 'seen', 'alice')`,
    `insert into engine.decision (callback, workflow_id, step, decision, reason, operator, key_id) values (1, 'review:1', 'propose', 'credit', 'seen', 'alice', 1)`,
    `insert into engine.stated_facts (decision) values (1)`,
    `insert into engine.refused_step (decision, refusal) values (1, 'case_closed')`,
    `insert into engine.review_case (workflow_id, callback, reason, opened_by) values ('review:1:reversal:1', 1, 'CREDIT_IN_DOUBT', 'alice')`,
    `insert into engine.review_case (workflow_id, callback, reason, doubted) values ('review:1:reversal:1', 1, 'CREDIT_IN_DOUBT', 1)`,
    `insert into engine.review_case (workflow_id, callback, reason, closed_at, decision, decided_by) values ('review:1', 1, 'LATE', now(), 'credit', 'alice+bob')`,
    `select engine.make_key('\\x00', 'alice', '{reviews:decide}', null, null)`,
    `select engine.operator_by('\\x00')`,
    `select engine.doubtful(null, 1, null)`,
  ])('may not: %s', async (sql) => {
    await expect(api.query(sql)).rejects.toMatchObject({ code: '42501' });
  });

  it('takes no step in anybody’s name, with whatever it or a backup can show', async () => {
    const of = await opensCase();
    for (const proof of [...(await kept()), new Secret(randomBytes(32)), new Secret(Buffer.alloc(0))]) {
      await expect(proposes(of, proof)).rejects.toMatchObject({ code: 'P0E35' });
      const doubting = openDoubt(api, proof, { externalOrderNumber: of.order.externalOrderNumber }, 'not right');
      await expect(doubting).rejects.toMatchObject({ code: 'P0E35' });
    }
    const nothing = insertDecision(api, { reveal: () => null } as unknown as Secret, {
      workflowId: of.workflowId,
      ...proposal,
    });
    await expect(nothing).rejects.toMatchObject({ code: 'P0E35' });
    expect(await listDecisions(db.owner, of.workflowId)).toEqual([]);
  });
});

describe('a step', () => {
  it('is its key’s: the operator is the key’s name, the callback the case’s', async () => {
    const of = await opensCase();
    const { keyId, proof } = await issues('dora');
    const { id } = await proposes(of, proof);
    const { rows } = await db.owner.query('select operator, callback, key_id from engine.decision where id = $1', [id]);
    expect(rows).toEqual([{ operator: 'dora', callback: of.inboxId, key_id: keyId.slice(1) }]);
  });

  it('is refused to a key that may not decide, is revoked or has expired', async () => {
    const of = await opensCase();
    const reading = await issues('reader', { scopes: ['deposits:read', 'audit:read'] });
    const gone = await issues('leaver');
    await revokeKeys(db.owner, [gone.keyId]);
    const old = await issues('old', { expiresInMs: -1 });
    for (const { proof } of [reading, gone, old]) {
      await expect(proposes(of, proof)).rejects.toMatchObject({ code: 'P0E35' });
    }
  });

  it('is refused to a key of other wallets, and into other wallets', async () => {
    const [of, other] = [await opensCase(), await opensCase()];
    const { proof } = await issues('branch', { wallets: [of.order.wallet] });
    await expect(proposes(other, proof)).rejects.toMatchObject({ code: 'P0E36' });
    await expect(proposes(of, proof, other.order.externalOrderNumber)).rejects.toMatchObject({ code: 'P0E36' });
    await expect(proposes(of, proof, 'no-such-order')).rejects.toMatchObject({ code: 'P0E36' });
    await expect(proposes(of, proof, of.order.externalOrderNumber)).resolves.toBeDefined();
  });

  it('is refused to a confirmation of money into another wallet, and not to a withdrawal', async () => {
    const [of, other] = [await opensCase(), await opensCase()];
    const { proof } = await issues('branch', { wallets: [of.order.wallet] });
    const both = await issues('both', { wallets: [of.order.wallet, other.order.wallet] });
    const { workflowId } = of;
    const { id } = await proposes(of, proofFor('alice'), other.order.externalOrderNumber);
    await noteProposal(db.owner, workflowId, id);
    const step = { workflowId, proposal: id, reason: null } as const;
    await expect(insertDecision(api, proof, { ...step, step: 'confirm' })).rejects.toMatchObject({ code: 'P0E36' });
    await expect(insertDecision(api, both.proof, { ...step, step: 'confirm' })).resolves.toBeDefined();
    const withdrawal = { ...step, step: 'withdraw', reason: 'not ours' } as const;
    await expect(insertDecision(api, proof, withdrawal)).resolves.toBeDefined();
  });

  it('is refused where the money is in another wallet, or would go back there', async () => {
    const { item, order } = await payment(db.owner);
    const { inboxId } = item;
    const other = await reserved(db.owner);
    const { proof } = await issues('desk', { wallets: [order.wallet] });
    const both = await issues('desks', { wallets: [order.wallet, other.wallet] });
    const parked = await openDepositCase(db.poolFor('app_worker'), { inboxId, reason: 'LATE', late: true, park: true });
    const workflowId = `deposit:${item.deposit}`;
    const decides = (by: Secret, decision: Decision, toDeposit: string | null = null) =>
      insertDecision(api, by, { workflowId, ...proposal, decision, toDeposit });
    const { rows } = await db.owner.query<{ id: string }>(
      `select id from ledger.release('after:' || $1::bigint, $1::bigint, $2, $3, 0, $4, 'alice+bob', 'the wrong order')`,
      [parked!.postingId, other.externalOrderNumber, other.wallet, workflowId],
    );
    for (const decision of ['reverse', 'reject'] as const) {
      await expect(decides(proof, decision)).rejects.toMatchObject({ code: 'P0E36' });
      await expect(decides(both.proof, decision)).resolves.toBeDefined();
    }
    await db.owner.query(
      `select ledger.reverse('after:' || $1::bigint, $1::bigint, true, $2, 'alice+bob', 'the wrong wallet')`,
      [rows[0]!.id, workflowId],
    );
    await expect(decides(proof, 'reject')).rejects.toMatchObject({ code: 'P0E36' });
    await expect(decides(both.proof, 'reject')).resolves.toBeDefined();
    await expect(decides(proof, 'reverse')).resolves.toBeDefined();
    await expect(decides(proof, 'credit', order.externalOrderNumber)).resolves.toBeDefined();
  });

  it('by another key of one name is of the same person', async () => {
    const of = await opensCase();
    const [first, second] = [await issues('twice'), await issues('twice')];
    const { id } = await proposes(of, first.proof);
    await noteProposal(db.owner, of.workflowId, id);
    const confirmation = { workflowId: of.workflowId, step: 'confirm', proposal: id, reason: null } as const;
    await expect(insertDecision(api, second.proof, confirmation)).rejects.toMatchObject({ code: 'P0E34' });
    await expect(insertDecision(api, proofFor('bob'), confirmation)).resolves.toBeDefined();
  });

  it('is marked as refused by its own key alone', async () => {
    const { id } = await proposes(await opensCase(), proofFor('alice'));
    for (const proof of [proofFor('bob'), new Secret(randomBytes(32))])
      await expect(refuseStep(api, proof, id, 'case_closed')).rejects.toMatchObject({ code: 'P0E36' });
    expect(await refuseStep(api, proofFor('alice'), id, 'case_closed')).toBe(false);
    expect(await refuseStep(api, proofFor('alice'), id, 'case_closed')).toBe(false);
  });
});

describe('a doubt', () => {
  it('opens a case in the name of its key, once, and for the wallets of that key alone', async () => {
    const { item, order } = await payment(db.owner);
    const of = { externalOrderNumber: item.deposit };
    const nothing = openDoubt(api, proofFor('alice'), { externalOrderNumber: 'no-such-order' }, 'not right');
    await expect(nothing).rejects.toMatchObject({ code: 'P0E36' });
    const [credited] = await creditAll(db.poolFor('app_worker'), [item]);
    const elsewhere = await issues('far', { wallets: ['another'] });
    await expect(openDoubt(api, elsewhere.proof, of, 'not right')).rejects.toMatchObject({ code: 'P0E36' });
    const branch = await issues('near', { wallets: [order.wallet] });
    expect(await openDoubt(api, branch.proof, of, 'not right')).toEqual({ inboxId: item.inboxId, opened: true });
    expect(await openDoubt(api, proofFor('bob'), of, 'me too')).toEqual({ inboxId: item.inboxId, opened: false });
    const { rows } = await db.owner.query<{ id: string }>(
      'select workflow_id as id from engine.review_case where callback = $1',
      [item.inboxId],
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]!.id).toMatch(/^review:\d+-[0-9a-f]{8}:reversal:1$/);
    expect(await findCase(db.owner, rows[0]!.id)).toMatchObject({
      openedBy: 'near',
      reason: 'CREDIT_IN_DOUBT',
      detail: 'not right',
      doubted: credited!.postingId,
      standing: 'credited',
    });
  });

  it.each(['repeatable read', 'serializable'])(
    'is not opened by what was seen before the money was moved: %s',
    async (isolation) => {
      const { item } = await payment(db.owner);
      const [credited] = await creditAll(db.poolFor('app_worker'), [item]);
      const session = await api.connect();
      try {
        await session.query(`begin isolation level ${isolation}`);
        await session.query('select count(*) from engine.callback');
        await db.owner.query(
          `select ledger.reverse('after:' || $1::bigint, $1::bigint, true, 'review:x', 'alice+bob', 'moved')`,
          [credited!.postingId],
        );
        const doubting = openDoubt(session, proofFor('alice'), { externalOrderNumber: item.deposit }, 'not right');
        await expect(doubting).rejects.toMatchObject({ code: '25000' });
      } finally {
        await session.query('commit');
        session.release();
      }
      const { rows } = await db.owner.query('select from engine.review_case where callback = $1', [item.inboxId]);
      expect(rows).toEqual([]);
    },
  );
});
