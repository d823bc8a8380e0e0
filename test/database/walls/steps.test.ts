import { describe, expect, it } from 'vitest';
import { noteProposal } from '../../../database/queries/cases.ts';
import { insertCase } from '../../support/operators.ts';
import { insertDecision } from '../../support/operators.ts';
import { inTransaction } from '../../../database/pool.ts';
import { insertCallback } from '../../support/messages/inbox.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { paid } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { received, reserved } from '../../ledger/payments.ts';

/** A step of an operator is admitted under the lock of the case, from any writer. */
const db = await createTestDatabase();
const api = db.poolFor('app_api');

interface Case {
  readonly workflowId: string;
  readonly inboxId: string;
}

async function opened(inboxId: string): Promise<Case> {
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'SECOND_CODE' });
  return { workflowId, inboxId };
}

/** A case about a second payment of a deposit with this review limit. */
async function opensCase({ limit = '0', amount = '5000' } = {}): Promise<Case> {
  const order = await reserved(db.owner);
  await db.owner.query('alter table engine.deposit disable trigger user');
  await db.owner.query(
    `update engine.deposit set settings = settings || jsonb_build_object('reviewLimit', $2::text) where external_order_number = $1`,
    [order.externalOrderNumber, limit],
  );
  await db.owner.query('alter table engine.deposit enable trigger user');
  const data: CallbackData = paid(order, { transactionAmount: amount });
  return opened(
    await inTransaction(db.owner, (client) => received(client, data, { receipt: 'other_content', bound: false })),
  );
}

/** A case about an unreadable message. */
async function opensUnreadable(): Promise<Case> {
  const order = await reserved(db.owner);
  const { id } = await inTransaction(db.owner, (client) =>
    insertCallback(client, {
      externalOrderNumber: order.externalOrderNumber,
      deposit: order.externalOrderNumber,
      contentHash: contentHash(paid(order)),
      data: null,
      raw: Buffer.from('{'),
      receipt: 'unreadable',
      reviewReason: 'UNREADABLE',
      acked: true,
      seal: null,
    }),
  );
  return opened(id);
}

const write = async (step: Parameters<typeof insertDecision>[1]): Promise<string> =>
  (await insertDecision(api, step)).id;
const proposes = (of: Case, operator: string, more: { readonly beside?: string } = {}) =>
  write({
    ...of,
    operator,
    step: 'propose',
    decision: 'credit',
    reason: 'seen',
    keep: false,
    toDeposit: null,
    ...more,
  });
const confirms = (of: Case, operator: string, proposal: string) =>
  write({ ...of, operator, step: 'confirm', proposal, reason: null });
const withdraws = (of: Case, operator: string, proposal: string) =>
  write({ ...of, operator, step: 'withdraw', proposal, reason: 'thought again' });

/** A proposal that the case's workflow has accepted. */
async function waiting(of: Case, operator = 'alice', more: { readonly beside?: string } = {}): Promise<string> {
  const proposal = await proposes(of, operator, more);
  await noteProposal(db.owner, of.workflowId, proposal);
  return proposal;
}
const close = (of: Case) =>
  db.owner.query(
    `update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'alice+bob', proposal = null where workflow_id = $1`,
    [of.workflowId],
  );

describe('a step of a person', () => {
  it('is written down: a proposal, its confirmation by another, its withdrawal by anybody', async () => {
    const of = await opensCase();
    const proposal = await waiting(of);
    expect(await withdraws(of, 'carol', proposal)).toMatch(/^\d+$/);
    expect(await confirms(of, 'bob', proposal)).toMatch(/^\d+$/);
    expect(await withdraws(of, 'alice', proposal)).toMatch(/^\d+$/);
  });

  it('in a case that is not there is refused', async () => {
    const of = await opensCase();
    const elsewhere = { ...of, workflowId: 'review:0' };
    await expect(proposes(elsewhere, 'alice')).rejects.toMatchObject({ code: 'P0E30' });
  });

  it('in a closed case is refused, whatever it is', async () => {
    const of = await opensCase();
    const proposal = await waiting(of);
    await close(of);
    for (const step of [
      () => proposes(of, 'alice'),
      () => confirms(of, 'bob', proposal),
      () => withdraws(of, 'bob', proposal),
    ]) {
      await expect(step()).rejects.toMatchObject({ code: 'P0E31' });
    }
  });

  it('about a proposal that does not wait is refused', async () => {
    const of = await opensCase();
    const unheard = await proposes(of, 'alice');
    for (const step of [() => confirms(of, 'bob', unheard), () => withdraws(of, 'bob', unheard)]) {
      await expect(step()).rejects.toMatchObject({ code: 'P0E32' });
    }
  });

  it('about another proposal than the one that waits is refused', async () => {
    const of = await opensCase();
    const before = await waiting(of);
    await waiting(of, 'carol');
    for (const step of [() => confirms(of, 'bob', before), () => withdraws(of, 'bob', before)]) {
      await expect(step()).rejects.toMatchObject({ code: 'P0E33' });
    }
  });

  it.each([
    ['above the limit', () => opensCase({ limit: '4999.99999999' }), {}, 'P0E34'],
    ['up to the limit', () => opensCase({ limit: '5000' }), {}, null],
    ['beside another credit, up to the limit', () => opensCase({ limit: '5000' }), { beside: '1' }, 'P0E34'],
    ['of what could not be read', () => opensUnreadable(), {}, 'P0E34'],
  ] as const)('that confirms what one has proposed oneself, %s', async (_, opens, more, code) => {
    const of = await opens();
    const proposal = await waiting(of, 'alice', more);
    const alone = confirms(of, 'alice', proposal);
    if (code === null) expect(await alone).toMatch(/^\d+$/);
    else await expect(alone).rejects.toMatchObject({ code });
    expect(await confirms(of, 'bob', proposal)).toMatch(/^\d+$/);
  });

  it('waits for whoever decides the case, and comes too late then', async () => {
    const of = await opensCase();
    const proposal = await waiting(of);
    let step: Promise<unknown> = Promise.resolve();
    await inTransaction(db.owner, async (client) => {
      await client.query('select from engine.review_case where workflow_id = $1 for no key update', [of.workflowId]);
      step = withdraws(of, 'alice', proposal).catch((error: unknown) => error);
      await until('the step to wait', async () => (await waitingSteps()) === 1);
      await client.query(
        `update engine.review_case set closed_at = now(), decision = 'credit', decided_by = 'alice+bob' where workflow_id = $1`,
        [of.workflowId],
      );
    });
    expect(await step).toMatchObject({ code: 'P0E31' });
  });

  const waitingSteps = async () =>
    (
      await db.owner.query(
        `select from pg_stat_activity where datname = current_database() and usename = 'app_api' and wait_event_type = 'Lock'`,
      )
    ).rowCount;
});
