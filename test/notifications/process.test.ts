import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { loadNotifierConfig } from '../../config/settings/notifier.ts';
import { issueKey, proofOf } from '../../database/queries/api-keys.ts';
import { publishEvents } from '../../database/queries/events.ts';
import { makeEndpoint } from '../../database/queries/notifications/endpoints.ts';
import { sealEndpointSecret } from '../../notifications/endpoint-secrets.ts';
import { newSecret } from '../../notifications/signature.ts';
import { reserved } from '../ledger/payments.ts';
import { createTestDatabase } from '../support/database.ts';
import { startPart } from '../support/process.ts';
import { startReceiver } from './receiver.ts';

/** The notifier as a process, killed where it hurts. */

const db = await createTestDatabase();

test.each([
  ['notify.afterClaim', 0],
  ['notify.afterAnswer', 1],
])('%s: a notifier is killed at its first message, and not before', async (point, posted) => {
  const to = await startReceiver();
  onTestFinished(() => to.close());
  const env = {
    DATABASE_URL_NOTIFIER: db.urlFor('app_notifier'),
    ENDPOINT_SECRET_KEY: randomBytes(32).toString('base64url'),
    NOTIFY_LOCAL_TARGETS: to.host,
  };
  const notifier = await startPart('notifier', { ...env, CRASH_AT: point });

  const name = `shop-${posted}`;
  const { key } = await issueKey(db.owner, { name, scopes: ['endpoints:manage'] });
  const ring = loadNotifierConfig(env).keys.rings.endpointSecret;
  const id = await makeEndpoint(db.poolFor('app_api'), proofOf(key), {
    url: to.url,
    types: null,
    signature: 'v1',
    sealed: sealEndpointSecret(ring, name, newSecret()),
    publicKey: null,
  });
  await reserved(db.owner);
  const worker = db.poolFor('app_worker');
  while ((await publishEvents(worker)) > 0);

  expect(await notifier.exited).toBe('SIGKILL');
  expect(notifier.log()).toContain('"notifier ready"');
  expect(to.received).toHaveLength(posted);
  const { rows } = await db.owner.query<{ open: number }>(
    'select count(*)::int as open from engine.delivery_attempt where endpoint = $1 and status is null and fault is null',
    [id.slice(3)],
  );
  expect(rows).toEqual([{ open: 1 }]);
  await db.owner.query(`update engine.endpoint set state = 'off' where id = $1`, [id.slice(3)]);
});
