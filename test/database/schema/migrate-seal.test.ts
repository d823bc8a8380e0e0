import { createHash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { createSealer, sealKey } from '../../../config/keys/inbox-seal.ts';
import { fixedKeyring } from '../../../config/keys/keyring.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { registeredSealKeys } from '../../../database/queries/seal-macs.ts';
import { root } from '../../../local/servers/paths.ts';
import { run } from '../../../local/servers/process.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { reserved } from '../../ledger/payments.ts';
import { paid } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { insertCallback } from '../../support/messages/inbox.ts';
import { startOf } from '../../support/programs.ts';

const db = await createTestDatabase();

/** Runs `npm run migrate` with this key, or none; returns its output. */
async function migrate(seed: Buffer | null, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await migrated(seed, ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}
function migrated(seed: Buffer | null, ...args: string[]) {
  return run(process.execPath, [...startOf('worker/migrate.ts'), ...args], {
    timeoutMs: 60_000,
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: db.url,
      ...(seed === null ? {} : { INBOX_SEAL_KEY: seed.toString('base64url') }),
    },
  });
}
const [first, second] = [randomBytes(32), randomBytes(32)];
const nameOf = (seed: Buffer) => sealKey(new Secret(seed)).id;

test('migrate registers the key of the seals, where no API of before can be at work or that is said', async () => {
  expect(await migrate(null)).toContain('INBOX_SEAL_KEY is not set');
  // A row that an API from before MACs may have written.
  await byHand(
    db.owner,
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, acked) values ('old-1', sha256('x'), 'x', 'first', true)`,
  );
  expect(await migrate(first)).toContain(`INBOX_SEAL_KEY ${nameOf(first)} is not registered yet`);
  expect(await registeredSealKeys(db.owner)).toEqual([]);
  expect(await migrate(first, '--contract')).toContain(`INBOX_SEAL_KEY ${nameOf(first)} is registered`);
  // The next key, before any API has it.
  expect(await migrate(second)).toContain(`INBOX_SEAL_KEY ${nameOf(second)} is registered`);
  expect(await migrate(second)).not.toContain('INBOX_SEAL_KEY');
  expect(await registeredSealKeys(db.owner)).toEqual([nameOf(first), nameOf(second)]);
  // A new database: no other API can have written a row.
  await byHand(db.owner, 'delete from engine.seal_mac');
  await byHand(db.owner, 'delete from engine.callback');
  expect(await migrate(first)).toContain(`INBOX_SEAL_KEY ${nameOf(first)} is registered`);
  // The key that makes seals is in no table.
  const { rows } = await db.owner.query<{ all: string }>(
    "select string_agg(m::text, e'\\n') as all from engine.seal_mac m",
  );
  expect(rows[0]!.all).not.toContain(first.toString('hex'));
});

test('migrate ends with 1 and says how many genuine rows somebody held; another run vouches for them', async () => {
  const order = await reserved(db.owner);
  const data = paid(order);
  const row = {
    externalOrderNumber: order.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from('{}'),
    receipt: 'first',
    reviewReason: null,
  } as const;
  const stamp = { keyId: 'key', timestampMs: 1 };
  const rawHash = createHash('sha256').update(row.raw).digest();
  const facts = { ...row, rawHash, stamp, sealedMs: Date.now() };
  const seal = createSealer(fixedKeyring(sealKey(new Secret(first))))(facts);
  const { id } = await insertCallback(db.owner, { ...row, deposit: row.externalOrderNumber, acked: true, seal }, stamp);
  const holder = await db.poolFor('app_api').connect();
  onTestFinished(() => holder.release(true));
  await holder.query(`set idle_in_transaction_session_timeout = 0`);
  await holder.query('begin');
  await holder.query(`select engine.count_attempt($1, 'key', 1, 1)`, [id]);
  const { code, stderr } = await migrated(first);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'genuine rows that somebody holds, which wait for another run of this command: 1\n',
  });
  await holder.query('rollback');
  expect(await migrate(first)).toContain('messages that waited and bear a genuine seal: 1');
});
