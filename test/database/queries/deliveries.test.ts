import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { issueKey, proofOf } from '../../../database/queries/api-keys.ts';
import { publishEvents } from '../../../database/queries/events.ts';
import {
  claimDeliveries,
  type ClaimedDelivery,
  listDeliveries,
  settleDeliveries,
} from '../../../database/queries/notifications/deliveries.ts';
import { changeEndpoint, makeEndpoint } from '../../../database/queries/notifications/endpoints.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { payments } from '../../ledger/payments.ts';
import { createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const [api, worker, notifier] = [db.poolFor('app_api'), db.poolFor('app_worker'), db.poolFor('app_notifier')];
const { key } = await issueKey(db.owner, { name: 'shop', scopes: ['endpoints:manage'] });
const proof = proofOf(key);

const publishAll = async () => {
  while ((await publishEvents(worker)) > 0);
};
const endpoint = () =>
  makeEndpoint(api, proof, {
    url: 'https://shop.example/hook',
    types: null,
    signature: 'v1',
    sealed: randomBytes(60),
    publicKey: null,
  });
const answer = (taken: readonly ClaimedDelivery[], status: number) =>
  settleDeliveries(
    notifier,
    taken.map(({ attempt }) => ({ attempt, status, fault: null, ms: 3, answer: 'ok', waitMs: null })),
  );

test('the events of a deposit are sent one after the other', async () => {
  const id = await endpoint();
  const [one] = await payments(db.owner, 1);
  await creditAll(worker, [one!.item]);
  await publishAll();
  const first = await claimDeliveries(notifier, 64);
  expect(first.map(({ name }) => name)).toEqual([`evt_${one!.item.deposit}_1`]);
  expect(await claimDeliveries(notifier, 64)).toEqual([]);
  await answer(first, 204);
  const second = await claimDeliveries(notifier, 64);
  expect(second.map(({ name }) => name)).toEqual([`evt_${one!.item.deposit}_2`]);
  await answer(second, 200);
  expect(await claimDeliveries(notifier, 64)).toEqual([]);
  const { items } = await listDeliveries(api, { endpoint: id.slice(3), after: '0', limit: 10 });
  expect(items.map(({ outcome, attempts }) => [outcome, attempts.length])).toEqual([
    ['delivered', 1],
    ['delivered', 1],
  ]);
  await changeEndpoint(api, proof, id, { enabled: false });
});
