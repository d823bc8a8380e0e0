import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { createSealer, sealKey } from '../../../config/keys/inbox-seal.ts';
import { fixedKeyring } from '../../../config/keys/keyring.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { insertCallback, type NewCallback, type Stamp } from '../../../database/queries/callbacks.ts';
import { openDoubt } from '../../../database/queries/cases.ts';
import { reserve } from '../../../database/queries/deposits.ts';
import { inTransaction } from '../../../database/pool.ts';
import { registerSealKey } from '../../../database/queries/seal-macs.ts';
import type { Decision } from '../../../domain/decision.ts';
import type { Order } from '../../../domain/order.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { carryOutDecision } from '../../../ledger/decide.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { balanceOf, itemFor, newWallet } from '../../ledger/payments.ts';
import { order, paid, settings, reservation } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { insertDecision, proofFor } from '../../support/operators.ts';

/**
 * One operator, and the logins of API, worker and decisions: a genuine message about an absent order is no money for
 * them.
 */
const db = await createTestDatabase();
const [api, worker] = [db.poolFor('app_api'), db.poolFor('app_worker')];
const key = sealKey(new Secret(randomBytes(32)));
const seal = createSealer(fixedKeyring(key));
const STAMP: Stamp = { keyId: 'key', timestampMs: Date.now() };
const OLD: Stamp = { keyId: 'key', timestampMs: Date.now() - 3_600_000 };
beforeAll(() => registerSealKey(db.owner, key));

async function message(
  asked: Order,
  receipt: 'first' | 'unknown_order' | 'other_content',
  reviewReason: 'SECOND_CODE' | 'UNKNOWN_ORDER' | null,
  data = paid(asked),
  stamp = STAMP,
) {
  const row: Omit<NewCallback, 'seal'> = {
    externalOrderNumber: asked.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from(JSON.stringify(data)),
    receipt,
    reviewReason,
  };
  const rawHash = createHash('sha256').update(row.raw).digest();
  const sealed = seal({ ...row, rawHash, stamp, sealedMs: Date.now() });
  return (await inTransaction(api, (client) => insertCallback(client, { ...row, seal: sealed }, stamp))).id;
}
const reserves = (asked: Order) =>
  reserve(api, reservation(asked, { settings: settings({ reviewLimit: '99999999999999999999' }) }));
const propose = (by: pg.Pool | pg.ClientBase, workflowId: string, operator: string, decision: Decision = 'credit') =>
  insertDecision(by, {
    workflowId,
    operator,
    step: 'propose',
    decision,
    reason: 'as the statement says',
    keep: false,
    toDeposit: null,
  });

async function decides(workflowId: string, decision: Decision, second = 'bob') {
  const { id: proposalId } = await propose(api, workflowId, 'alice', decision);
  await worker.query('select engine.show_proposal($1, $2)', [workflowId, proposalId]);
  const step = { workflowId, step: 'confirm', proposal: proposalId, reason: null } as const;
  const { id: confirmationId } = await insertDecision(api, { ...step, operator: second });
  return carryOutDecision(db.poolFor('app_decisions'), { workflowId, proposalId, confirmationId }, () =>
    Promise.resolve(true),
  );
}
async function caseOf(id: string): Promise<string> {
  const { rows } = await api.query<{ id: string }>('select id from engine.open_case($1)', [id]);
  return rows[0]!.id;
}

it.each(['kept as unknown', 'routed as another of it', 'signed before, and received since'])(
  'a deposit that somebody reserves for a message that is there has no limit below which one is enough: %s',
  async (how) => {
    const asked = order({ wallet: newWallet() });
    const isSince = how === 'signed before, and received since';
    if (isSince) await reserves(asked);
    const id = await (isSince
      ? message(asked, 'other_content', 'SECOND_CODE', paid(asked), OLD)
      : message(asked, 'unknown_order', 'UNKNOWN_ORDER'));
    if (how === 'kept as unknown') {
      // Six hours later.
      await db.owner.query('update engine.callback set acked = true where id = $1', [id]);
      await reserves(asked);
    } else if (!isSince) {
      await reserves(asked);
      await api.query(`select from engine.reroute($1, 'other_content', 'SECOND_CODE', 'key', $2, 0)`, [
        id,
        STAMP.timestampMs,
      ]);
    }
    await expect(decides(await caseOf(id), 'credit', 'alice')).rejects.toMatchObject({ code: 'P0E34' });
    const { rows } = await api.query('select review_limit, deposit from engine.case_now where callback = $1', [id]);
    expect(rows).toEqual([{ review_limit: '0', deposit: asked.externalOrderNumber }]);
    expect(await balanceOf(db.owner, `wallet:${asked.wallet}`)).toBe('0');
  },
);

it('of a deposit that was there before its message one is enough', async () => {
  const asked = order({ wallet: newWallet() });
  await reserves(asked);
  const id = await message(asked, 'other_content', 'SECOND_CODE');
  expect(await decides(await caseOf(id), 'credit', 'alice')).toMatchObject({ kind: 'decided', decision: 'credit' });
  expect(await balanceOf(db.owner, `wallet:${asked.wallet}`)).toBe('-5000');
});

it('a snapshot from before a person’s key was revoked takes no step by it', async () => {
  const asked = order({ wallet: newWallet() });
  await reserves(asked);
  const workflowId = await caseOf(await message(asked, 'other_content', 'SECOND_CODE'));
  const client = await api.connect();
  onTestFinished(() => client.release(true));
  await client.query('begin isolation level repeatable read; select 1 from engine.deposit limit 1');
  await db.owner.query(`select engine.revoke_keys(array(select 'K' || id from engine.api_key where name = 'carol'))`);
  await expect(propose(api, workflowId, 'carol')).rejects.toMatchObject({ code: 'P0E35' });
  await expect(propose(client, workflowId, 'carol')).rejects.toMatchObject({ code: '25000' });
});

it('what people have rejected no machine credits, whatever became of the deposit since', async () => {
  const asked = order({ wallet: newWallet() });
  const wallet = `wallet:${asked.wallet}`;
  await reserves(asked);
  const data = paid(asked);
  const first = await message(asked, 'first', null, data);
  const second = await caseOf(await message(asked, 'other_content', 'SECOND_CODE'));
  expect(await decides(second, 'credit')).toMatchObject({ kind: 'decided' });
  // Not its own workflow but the API's login gave it to operators.
  expect(await decides(await caseOf(first), 'reject')).toMatchObject({ kind: 'decided', decision: 'reject' });
  const item = itemFor(asked, first, data);
  await openDoubt(api, proofFor('alice'), { externalOrderNumber: asked.externalOrderNumber }, 'it was never paid');
  const { rows } = await api.query<{ workflow_id: string }>(
    `select workflow_id from engine.case_now where deposit = $1 and closed_at is null`,
    [asked.externalOrderNumber],
  );
  expect(await decides(rows[0]!.workflow_id, 'reverse')).toMatchObject({ kind: 'decided', decision: 'reverse' });
  expect(await creditAll(worker, [item])).toMatchObject([{ outcome: 'unproven' }]);
  expect(await balanceOf(db.owner, wallet)).toBe('0');
});
