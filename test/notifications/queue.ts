import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { issueKey, proofOf } from '../../database/queries/api-keys.ts';
import { publishEvents } from '../../database/queries/events.ts';
import {
  type AttemptResult,
  type ClaimedDelivery,
  settleDeliveries,
} from '../../database/queries/notifications/deliveries.ts';
import { makeEndpoint, type NewEndpoint } from '../../database/queries/notifications/endpoints.ts';
import type { TestDatabase } from '../support/database.ts';

/** The queue of deliveries, worked by hand. */
export async function openQueue(db: Pick<TestDatabase, 'owner' | 'poolFor'>) {
  const [api, worker, notifier] = [db.poolFor('app_api'), db.poolFor('app_worker'), db.poolFor('app_notifier')];
  const { key } = await issueKey(db.owner, { name: 'shop', scopes: ['endpoints:manage'] });
  const proof = proofOf(key);
  return {
    api,
    worker,
    notifier,
    proof,
    async publish() {
      while ((await publishEvents(worker)) > 0);
    },
    endpoint: (wanted: Partial<NewEndpoint> = {}, of = proof) =>
      makeEndpoint(api, of, {
        url: 'https://shop.example/hook',
        types: null,
        signature: 'v1',
        sealed: randomBytes(60),
        publicKey: null,
        ...wanted,
      }),
    settle: (taken: readonly ClaimedDelivery[], result: Partial<AttemptResult>) =>
      settleDeliveries(
        notifier,
        taken.map(({ attempt }) => ({
          attempt,
          status: null,
          fault: null,
          ms: 3,
          answer: null,
          waitMs: null,
          ...result,
        })),
      ),
  };
}

/** Lets time pass: everything that the queue waits for is so much nearer. */
export async function pass(owner: pg.Pool, span: string): Promise<void> {
  await owner.query(
    `update engine.delivery_line set next_at = next_at - $1::interval, leased_until = leased_until - $1::interval`,
    [span],
  );
  await owner.query(
    `update engine.endpoint set resume_at = resume_at - $1::interval, failing_since = failing_since - $1::interval,
            before_until = before_until - $1::interval where state <> 'deleted'`,
    [span],
  );
  await owner.query(
    `update engine.redelivery set next_at = next_at - $1::interval, leased_until = leased_until - $1::interval where done_at is null`,
    [span],
  );
}
