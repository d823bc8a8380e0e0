import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkKeys } from '../../../audit/tables/api-keys.ts';
import {
  createApiKey,
  findCaller,
  issueKey,
  listKeys,
  proofOf,
  revokeKeys,
} from '../../../database/queries/api-keys.ts';
import { createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const scopes = ['deposits:create', 'deposits:read'] as const;
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest();
const create = (name: string) => createApiKey(db.owner, { name, scopes });
const expire = (name: string, when: string) =>
  db.owner.query(`update engine.api_key set expires_at = clock_timestamp() + $2::interval where name = $1`, [
    name,
    when,
  ]);

describe('an API key', () => {
  it('finds its caller, scopes and wallets, and is stored nowhere itself', async () => {
    const { keyId, key } = await issueKey(db.owner, { name: 'shop', scopes, wallets: ['w-1'] });
    expect(key).toMatch(/^dek_[A-Za-z0-9_-]{43}$/);
    expect(await findCaller(api, key)).toEqual({ keyId, name: 'shop', scopes, wallets: ['w-1'], proof: proofOf(key) });
    expect(keyId).toMatch(/^K\d+$/);
    const { rows } = await db.owner.query<{ row: string; proof_hash: Buffer }>(
      `select k::text as row, proof_hash from engine.api_key k where name = 'shop'`,
    );
    expect(rows[0]!.row).not.toContain(key.slice(4));
    // Not the sha256 of the key: that one is the proof.
    expect(rows[0]!.proof_hash).toEqual(sha256(sha256(key)));
    expect(await findCaller(api, await create('everywhere'))).toMatchObject({ wallets: null });
  });

  it('in any other spelling finds nobody', async () => {
    const key = await create('strict');
    for (const other of [
      '',
      key.slice(0, -1),
      `${key}x`,
      key.toUpperCase(),
      ` ${key}`,
      `${key}\n`,
      `dek_${key}`,
      'dek_',
    ]) {
      expect(await findCaller(api, other), JSON.stringify(other)).toBeNull();
    }
  });

  it('lives beside a second one of its name, so that one is replaced while the other works', async () => {
    const [old, next] = [await create('renewed'), await create('renewed')];
    expect(await findCaller(api, old)).toMatchObject({ name: 'renewed' });
    expect(await findCaller(api, next)).toMatchObject({ name: 'renewed' });
    await expect(create('renewed')).rejects.toMatchObject({ code: 'pair' });
    await revokeKeys(db.owner, [(await findCaller(api, old))!.keyId]);
    expect(await findCaller(api, old)).toBeNull();
    expect(await findCaller(api, next)).toMatchObject({ name: 'renewed' });
    expect(await findCaller(api, await create('renewed'))).toMatchObject({ name: 'renewed' });
  });

  it('is never the third living one of a caller, also when ten are asked for at once', async () => {
    const made = await Promise.allSettled(Array.from({ length: 10 }, () => create('race')));
    expect(made.filter((one) => one.status === 'fulfilled')).toHaveLength(2);
  });

  it('that is revoked or expired finds nobody; one that expires later still does', async () => {
    const key = await create('leaver');
    await expire('leaver', '1 hour');
    expect(await findCaller(api, key)).toMatchObject({ name: 'leaver' });
    await expire('leaver', '-1 millisecond');
    expect(await findCaller(api, key)).toBeNull();
    const { keyId, key: other } = await issueKey(db.owner, { name: 'leaver', scopes, expiresInMs: 3_600_000 });
    expect(await findCaller(api, other)).toMatchObject({ keyId });
    expect(await revokeKeys(db.owner, [keyId])).toEqual([keyId]);
    expect(await revokeKeys(db.owner, [keyId, 'K0', 'leaver'])).toEqual([]);
    expect(await findCaller(api, other)).toBeNull();
  });

  it.each(['', 'Shop', 'a+b', 'a b', '-a', '.a', 'x'.repeat(64), 'a\n', 'é'])(
    'is not given to a caller named %j',
    async (name) => {
      await expect(create(name)).rejects.toMatchObject({ code: 'name' });
    },
  );

  it('does not both decide about reviews and order deposits', async () => {
    const wanted = { name: 'alice', scopes: ['reviews:decide', 'deposits:create'] as const };
    await expect(issueKey(db.owner, wanted)).rejects.toMatchObject({ code: 'separation' });
    await issueKey(db.owner, { name: 'alice', scopes: ['reviews:decide', 'deposits:read', 'audit:read'] });
  });

  it('is never changed and never comes back, whoever asks', async () => {
    const { keyId } = await issueKey(db.owner, { name: 'fixed', scopes });
    for (const change of [
      `scopes = '{audit:read}'`,
      `wallets = '{w}'`,
      `name = 'other'`,
      `proof_hash = sha256('x')`,
      'revoked_at = null',
    ]) {
      if (change === 'revoked_at = null') await revokeKeys(db.owner, [keyId]);
      const changing = db.owner.query(`update engine.api_key set ${change} where name = 'fixed'`);
      await expect(changing, change).rejects.toMatchObject({ code: 'P0E14' });
    }
  });

  it('is listed with its id and what it may do, and without its hash', async () => {
    const { keyId } = await issueKey(db.owner, { name: 'listed', scopes: ['audit:read'], expiresInMs: 1_000_000 });
    const listed = (await listKeys(db.owner)).find((one) => one.keyId === keyId)!;
    expect(listed).toMatchObject({ name: 'listed', scopes: ['audit:read'], isLiving: true, revokedAt: null });
    expect(Object.keys(listed)).not.toContain('proof_hash');
  });
});

describe('the log of keys', () => {
  const logOf = async (name: string) =>
    (
      await db.owner.query<{ event: string }>('select event from engine.key_log where name = $1 order by n', [name])
    ).rows.map(({ event }) => event);

  it('has each making and each revoking, once, and agrees with the keys', async () => {
    const before = (await checkKeys(db.owner)).findings;
    const { keyId } = await issueKey(db.owner, { name: 'logged', scopes: ['reviews:decide'] });
    expect(await logOf('logged')).toEqual(['made']);
    await revokeKeys(db.owner, [keyId]);
    await revokeKeys(db.owner, [keyId]);
    expect(await logOf('logged')).toEqual(['made', 'revoked']);
    const { findings, since } = await checkKeys(db.owner);
    expect(findings).toEqual(before);
    expect(since.has('logged')).toBe(true);
  });

  it('is changed by nobody and written by no process', async () => {
    await create('kept');
    for (const sql of [`update engine.key_log set name = 'x'`, 'delete from engine.key_log', 'truncate engine.key_log'])
      await expect(db.owner.query(sql), sql).rejects.toMatchObject({ code: 'P0E01' });
    for (const role of ['app_api', 'app_worker', 'app_decisions', 'auditor'] as const) {
      for (const sql of [
        'insert into engine.key_log select * from engine.key_log',
        `select engine.log_key(1, 'made')`,
        `select engine.revoke_keys('{K1}')`,
        `select engine.issue_key('x', 'mine', '{reviews:decide}', null, null)`,
      ])
        await expect(db.poolFor(role).query(sql), `${role}: ${sql}`).rejects.toMatchObject({ code: '42501' });
    }
  });
});

describe('a row from before there were pairs', () => {
  it('keeps working and can be revoked, whatever its name and scopes', async () => {
    // A row of an older version: past the rules for new rows.
    await db.owner.query(`alter table engine.api_key disable trigger admit`);
    const key = `dek_${'o'.repeat(43)}`;
    await db.owner.query(
      `insert into engine.api_key (name, proof_hash, scopes) values ('Old Shop+Co', sha256(sha256($1)), '{deposits:create,reviews:decide}')`,
      [Buffer.from(key)],
    );
    await db.owner.query(`alter table engine.api_key enable trigger admit`);
    const caller = await findCaller(api, key);
    expect(caller).toMatchObject({ name: 'Old Shop+Co', scopes: ['deposits:create', 'reviews:decide'] });
    await revokeKeys(db.owner, [caller!.keyId]);
    expect(await findCaller(api, key)).toBeNull();
  });
});
