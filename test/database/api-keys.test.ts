import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createApiKey, findCaller } from '../../database/api-keys.ts';
import { createTestDatabase } from '../support/database.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const create = (name: string) => createApiKey(db.owner, { name, scopes: ['deposits:create', 'deposits:read'] });
const change = (name: string, sql: string) =>
  db.owner.query(`update engine.api_key set ${sql} where name = $1`, [name]);

describe('an API key', () => {
  it('finds its caller and scopes, and is stored nowhere itself', async () => {
    const key = await create('shop');
    expect(key).toMatch(/^dek_[A-Za-z0-9_-]{43}$/);
    expect(await findCaller(api, key)).toEqual({ name: 'shop', scopes: ['deposits:create', 'deposits:read'] });
    const { rows } = await db.owner.query<{ row: string; hash: Buffer }>(
      `select k::text as row, hash from engine.api_key k where name = 'shop'`,
    );
    expect(rows[0]!.row).not.toContain(key.slice(4));
    expect(rows[0]!.hash).toEqual(createHash('sha256').update(key).digest());
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

  it('made anew replaces the old one of its name, and no other', async () => {
    const [old, other] = [await create('renewed'), await create('other')];
    const key = await create('renewed');
    expect(key).not.toBe(old);
    expect(await findCaller(api, old)).toBeNull();
    expect(await findCaller(api, key)).toMatchObject({ name: 'renewed' });
    expect(await findCaller(api, other)).toMatchObject({ name: 'other' });
  });

  it('that is revoked or expired finds nobody; one that expires later still does', async () => {
    const key = await create('leaver');
    await change('leaver', `expires_at = clock_timestamp() + interval '1 hour'`);
    expect(await findCaller(api, key)).toMatchObject({ name: 'leaver' });
    await change('leaver', `expires_at = clock_timestamp() - interval '1 millisecond'`);
    expect(await findCaller(api, key)).toBeNull();
    await change('leaver', 'expires_at = null, revoked_at = clock_timestamp()');
    expect(await findCaller(api, key)).toBeNull();
  });

  it('made anew after it was revoked or had expired is good', async () => {
    await create('back');
    await change('back', `revoked_at = clock_timestamp(), expires_at = clock_timestamp() - interval '1 day'`);
    expect(await findCaller(api, await create('back'))).toMatchObject({ name: 'back' });
  });
});
