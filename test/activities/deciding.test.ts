import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { decide } from '../../activities/deciding.ts';
import { createLog } from '../../telemetry/log.ts';
import { newOperatorKey, parseOperatorKeys, signStep } from '../../config/keys/operator-keys.ts';
import { findCase } from '../../database/queries/cases.ts';
import { insertCase } from '../support/operators.ts';
import { inTransaction } from '../../database/pool.ts';
import type { Decision } from '../../domain/decision.ts';
import { paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { insertDecision } from '../support/operators.ts';
import { received, reserved } from '../ledger/payments.ts';
import { until } from '../support/until.ts';
import { sealTrust } from '../support/seals.ts';

/** A decided step returns its result first, whatever followed it; and steps are written under their case's lock. */
const db = await createTestDatabase();
const decisions = db.poolFor('app_decisions');
const api = db.poolFor('app_api');
const log = createLog('test', 'silent');

/** An authentic callback that no machine may credit, and its case. */
async function unbound() {
  const order = await reserved(db.owner);
  const data = paid(order);
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, data, { receipt: 'other_content', bound: false }),
  );
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'OTHER_CONTENT' });
  return { order, data, inboxId, workflowId };
}
type Case = Pick<Awaited<ReturnType<typeof unbound>>, 'inboxId' | 'workflowId'>;

const step = ({ workflowId }: Case, operator: string) => ({ workflowId, operator });
async function proposes(of: Case, operator: string, decision: Decision, more: { keep?: boolean } = {}) {
  const body = { decision, reason: 'compared with the statement', keep: more.keep ?? false, toDeposit: null };
  const { id } = await insertDecision(api, { ...step(of, operator), step: 'propose', ...body });
  // The workflow's record that this proposal waits.
  await db.owner.query('update engine.review_case set proposal = $2 where workflow_id = $1', [of.workflowId, id]);
  return id;
}
const confirms = async (of: Case, operator: string, proposal: string) =>
  (await insertDecision(api, { ...step(of, operator), step: 'confirm', proposal, reason: null })).id;
const withdraws = (of: Case, operator: string, proposal: string) =>
  insertDecision(api, { ...step(of, operator), step: 'withdraw', proposal, reason: 'thought again' });

const postings = async (n: string) =>
  (
    await db.owner.query<{ kind: string }>('select kind from ledger.transaction where deposit = $1 order by id', [n])
  ).rows.map((row) => row.kind);

test('a withdrawal that waits for the decision’s transaction is refused, and the decision repeated says what it did', async () => {
  const of = await unbound();
  const proposalId = await proposes(of, 'alice', 'credit');
  const item = { workflowId: of.workflowId, proposalId, confirmationId: await confirms(of, 'bob', proposalId) };
  const held: pg.PoolClient = await db.owner.connect();
  await held.query('begin');
  await held.query('select from engine.review_case where workflow_id = $1 for update', [of.workflowId]);
  // The decision waits first, the withdrawal behind it.
  const decided = decide({ pool: decisions, sealTrust, log }, item);
  await waiting(1);
  const withdrawn = withdraws(of, 'carol', proposalId).catch((error: unknown) => error);
  await waiting(2);
  await held.query('commit');
  held.release();
  const answer = await decided;
  const late = await withdrawn;
  // Between the two transactions of a decision a withdrawal may still come in time; it never comes halfway.
  if (answer.kind === 'decided') {
    expect(late).toMatchObject({ code: 'P0E31' });
    expect(await postings(of.order.externalOrderNumber)).toEqual(['suspense', 'release']);
  } else {
    expect(answer).toMatchObject({ kind: 'refused', refusal: 'withdrawn', standing: 'parked' });
    expect(await postings(of.order.externalOrderNumber)).toEqual(['suspense']);
  }
  expect(await decide({ pool: decisions, sealTrust, log }, item)).toEqual(answer);
});

test('money taken out of a wallet and kept: the step repeated answers so, though its proposal waits no more', async () => {
  const of = await unbound();
  const first = await proposes(of, 'alice', 'credit');
  const credited = await decide(
    { pool: decisions, sealTrust, log },
    {
      workflowId: of.workflowId,
      proposalId: first,
      confirmationId: await confirms(of, 'bob', first),
    },
  );
  expect(credited).toMatchObject({ kind: 'decided', decision: 'credit', decidedBy: 'alice+bob' });
  const doubt = { inboxId: of.inboxId, workflowId: `review:${of.inboxId}:reversal:1` };
  await insertCase(db.owner, {
    ...doubt,
    reason: 'CREDIT_IN_DOUBT',
    detail: 'not theirs',
    openedBy: 'alice',
    doubted: (credited as { postingId: string }).postingId,
  });
  const keep = await proposes(doubt, 'alice', 'reverse', { keep: true });
  const item = { workflowId: doubt.workflowId, proposalId: keep, confirmationId: await confirms(doubt, 'bob', keep) };
  const taken = await decide({ pool: decisions, sealTrust, log }, item);
  expect(taken).toMatchObject({ kind: 'withdrawn', standing: 'withdrawn' });
  await expect(withdraws(doubt, 'carol', keep)).rejects.toMatchObject({ code: 'P0E32' });
  expect(await decide({ pool: decisions, sealTrust, log }, item)).toEqual(taken);

  const back = await proposes(doubt, 'bob', 'restore');
  const restore = {
    workflowId: doubt.workflowId,
    proposalId: back,
    confirmationId: await confirms(doubt, 'alice', back),
  };
  expect(await decide({ pool: decisions, sealTrust, log }, restore)).toMatchObject({
    kind: 'decided',
    decision: 'restore',
  });
  // A repeat of the earlier step still returns its result.
  expect(await decide({ pool: decisions, sealTrust, log }, item)).toEqual(taken);
  expect(await postings(of.order.externalOrderNumber)).toEqual(['suspense', 'release', 'reversal', 'reversal']);
});

test('one person alone is refused where the step is written, before anybody is told of it', async () => {
  const of = await unbound();
  const proposal = await proposes(of, 'alice', 'credit');
  await expect(confirms(of, 'alice', proposal)).rejects.toMatchObject({ code: 'P0E34' });
  await expect(confirms(of, 'bob', String(Number(proposal) - 1_000_000))).rejects.toMatchObject({ code: 'P0E33' });
});

test('where signatures are required, a decision whose steps nobody signed moves nothing, and is told as such', async () => {
  const of = await unbound();
  const proposalId = await proposes(of, 'alice', 'credit');
  const item = { workflowId: of.workflowId, proposalId, confirmationId: await confirms(of, 'bob', proposalId) };
  const signatures = { required: true, keys: new Map() };
  const answer = await decide({ pool: decisions, sealTrust, log, signatures }, item);
  expect(answer).toMatchObject({
    kind: 'refused',
    refusal: 'unproven',
    detail: `step ${proposalId}: alice has not signed it`,
  });
  expect(await postings(of.order.externalOrderNumber)).toEqual([]);
  // The outcome stays, whatever the request.
  expect(await decide({ pool: decisions, sealTrust, log }, item)).toEqual(answer);
});

test('a confirmation that is committed while the decision waits for it needs a signature like any other', async () => {
  const of = await unbound();
  const device = newOperatorKey();
  const { keys } = parseOperatorKeys(`alice=${device.publicKey}`);
  const nonce = randomBytes(16);
  const { contentHash, amount } = (await findCase(db.owner, of.workflowId))!;
  const body = { decision: 'credit', reason: 'seen', keep: false, toDeposit: null } as const;
  const signature = signStep(device.privateKey, {
    step: 'propose',
    case: of.workflowId,
    contentHash,
    amount,
    proposed: { ...body, operator: 'alice', wallet: of.order.wallet, beside: null, onlyOrdered: false },
    proposalSignature: null,
    reason: null,
    facts: null,
    nonce: nonce.toString('base64url'),
  });
  const signed = { signature, signerKey: keys.get('alice')![0]!.id, nonce };
  const { id } = await insertDecision(api, { ...step(of, 'alice'), step: 'propose', ...body, signed });
  await db.owner.query('update engine.review_case set proposal = $2 where workflow_id = $1', [of.workflowId, id]);

  // A holder of a key's proof without a device writes the step, and commits when the decision is in progress.
  const held = await api.connect();
  await held.query('begin');
  const confirmed = await insertDecision(held, { ...step(of, 'bob'), step: 'confirm', proposal: id, reason: null });
  const item = { workflowId: of.workflowId, proposalId: id, confirmationId: confirmed.id };
  const decided = decide({ pool: decisions, sealTrust, log, signatures: { required: true, keys } }, item);
  await waiting(1);
  await held.query('commit');
  held.release();
  expect(await decided).toMatchObject({ kind: 'refused', refusal: 'unproven' });
  expect(await postings(of.order.externalOrderNumber)).toEqual([]);
});

test('a decision with an older view of the steps than its lock is refused: it would not see a withdrawal', async () => {
  const of = await unbound();
  const proposalId = await proposes(of, 'alice', 'credit');
  const item = [of.workflowId, proposalId, await confirms(of, 'bob', proposalId)];
  for (const level of ['repeatable read', 'serializable']) {
    const old = await decisions.connect();
    await old.query(`begin isolation level ${level}`);
    await old.query('select from engine.decision limit 1');
    if (level === 'repeatable read') await withdraws(of, 'alice', proposalId);
    await expect(old.query('select engine.bring_in($1, $2, $3)', item)).rejects.toMatchObject({ code: '25000' });
    await old.query('rollback');
    old.release();
  }
  expect(await postings(of.order.externalOrderNumber)).toEqual([]);
});

/** Waits until this many sessions wait for a lock here. */
const waiting = (count: number) =>
  until(`${count} to wait`, async () => {
    const { rows } = await db.owner.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0]!.n >= count;
  });
