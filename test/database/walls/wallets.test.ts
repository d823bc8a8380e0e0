import { expect, it } from 'vitest';
import { issueKey, proofOf } from '../../../database/queries/api-keys.ts';
import { noteProposal, openDoubt } from '../../../database/queries/cases.ts';
import { insertDecision } from '../../../database/queries/decisions.ts';
import { inTransaction } from '../../../database/pool.ts';
import { paid } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { insertCase, proofFor } from '../../support/operators.ts';
import { received, reserved } from '../../ledger/payments.ts';

const db = await createTestDatabase();

interface Tried {
  /** Where the money was, in which wallet it is or was, and the decision. */
  readonly from: string;
  readonly moved: boolean;
  readonly refused: readonly [proposal: boolean, confirmation: boolean];
}

/** Carries out every decision that is possible wherever the money of a payment can be. */
async function triedEverywhere(): Promise<Tried[]> {
  const [own, other] = [await reserved(db.owner), await reserved(db.owner)];
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, paid(own), { receipt: 'other_content', bound: false }),
  );
  await insertCase(db.owner, { workflowId: `review:${inboxId}`, inboxId, reason: 'SECOND_CODE' });
  const desk = proofOf(
    (await issueKey(db.owner, { name: 'desk', scopes: ['reviews:decide'], wallets: [own.wallet] })).key,
  );
  const names = new Map([own, other].map(({ wallet }, i) => [`wallet:${wallet}`, ['own', 'other'][i]!]));
  const options = [
    ...(['reject', 'reverse', 'restore', 'credit'] as const).map((decision) => ({
      decision,
      keep: false,
      toDeposit: null,
    })),
    { decision: 'reverse', keep: true, toDeposit: null } as const,
    ...[own, other].map(
      (deposit) => ({ decision: 'credit', keep: false, toDeposit: deposit.externalOrderNumber }) as const,
    ),
  ];
  const client = await db.owner.connect();
  const value = async <T>(sql: string, values: readonly unknown[]): Promise<T> =>
    (await client.query<{ value: T }>(`select ${sql} as value`, [...values])).rows[0]!.value;
  const entries = () =>
    value<string>(
      '(select count(*) from ledger.entry e join ledger.account a on a.id = e.account_id where a.code = $1)',
      [`wallet:${other.wallet}`],
    );
  async function undone<T>(act: () => Promise<T>): Promise<T> {
    await client.query('savepoint s');
    try {
      return await act();
    } finally {
      await client.query('rollback to s; release s');
    }
  }
  const isRefused = (step: Parameters<typeof insertDecision>[2]) =>
    undone(() =>
      insertDecision(client, desk, step).then(
        () => false,
        (error: { code: string }) => {
          expect(error.code).toBe('P0E36');
          return true;
        },
      ),
    );

  const tried: Tried[] = [];
  const seen = new Set<string>();
  async function explore(): Promise<void> {
    const { rows } = await client.query<{ id: string; standing: string; code: string | null }>(
      `select v.workflow_id as id, v.standing, t.credit_code as code from engine.case_now v
         left join ledger.transaction t on t.id = v.tip where v.callback = $1 and v.closed_at is null`,
      [inboxId],
    );
    const { id: workflowId, standing, code } = rows[0]!;
    const place = `${standing} ${names.get(code ?? '') ?? '-'}`;
    if (seen.has(place)) return;
    seen.add(place);
    for (const option of options) {
      await undone(async () => {
        const step = { workflowId, step: 'propose', reason: 'seen', ...option } as const;
        const proposal = await isRefused(step);
        const { id } = await insertDecision(client, proofFor('alice'), step);
        await noteProposal(client, workflowId, id);
        const confirmation = { workflowId, step: 'confirm', proposal: id, reason: null } as const;
        const refused = [proposal, await isRefused(confirmation)] as const;
        const confirmed = await insertDecision(client, proofFor('bob'), confirmation);
        const before = await entries();
        const ids = [workflowId, id, confirmed.id];
        const answer =
          (await value<{ kind: string } | null>('engine.bring_in($1, $2, $3)', ids)) ??
          (await value<{ kind: string }>('engine.decide($1, $2, $3)', ids));
        if (answer.kind === 'refused') return;
        const to =
          option.toDeposit === null ? '' : option.toDeposit === own.externalOrderNumber ? ' to own' : ' to other';
        const from = `${place}: ${option.decision}${option.keep ? ' and keep' : ''}${to}`;
        tried.push({ from, moved: (await entries()) !== before, refused });
        if (answer.kind === 'decided') await openDoubt(client, proofFor('alice'), { case: workflowId }, 'not right');
        await explore();
      });
    }
  }
  try {
    await client.query('begin');
    await explore();
  } finally {
    await client.query('rollback');
    client.release();
  }
  return tried;
}

it('a key that is limited to wallets is refused what moves money of another wallet, or leaves it there, and no more', async () => {
  const tried = await triedEverywhere();
  const places = new Set(tried.map(({ from }) => from.replace(/:.*/, '')));
  const owned = ['credited', 'withdrawn', 'returned'].flatMap((place) => [`${place} own`, `${place} other`]);
  expect([...places].toSorted()).toEqual(['nothing -', 'parked -', 'returned -', ...owned].toSorted());
  for (const { from, moved, refused } of tried) {
    const isTouched = moved || from === 'credited other: reject';
    expect({ from, refused }).toEqual({ from, refused: [isTouched, isTouched] });
  }
});
