import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { insertCallback, insertRestored, rerouteCallback } from '../../database/callbacks.ts';
import * as byOwner from '../support/inbox.ts';
import { inTransaction } from '../../database/pool.ts';
import { findSealed, isGenuine, verdictOn } from '../../providers/sealed-rows.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { seal, sealed, sealTrust } from '../support/seals.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');

const stampOf = () => ({ keyId: 'key', timestampMs: randomBytes(5).readUIntBE(0, 5) });

/** A row as the API writes it, with the stamp of its message. */
async function kept(isSealed = true) {
  const order = await reserved(db.owner);
  const { externalOrderNumber } = order;
  const data = paid(order);
  const stamp = stampOf();
  const row = sealed(
    {
      externalOrderNumber,
      deposit: externalOrderNumber,
      contentHash: contentHash(data),
      data,
      raw: Buffer.from('{"kept":1}'),
      receipt: 'first',
      reviewReason: null,
      acked: true,
    },
    stamp,
  );
  const { id } = isSealed
    ? await inTransaction(api, (client) => insertCallback(client, row, stamp))
    : await byOwner.insertCallback(db.owner, { ...row, seal: null }, stamp);
  return id;
}
const verdict = async (id: string, epoch: string | null = null) =>
  verdictOn({ ...sealTrust(), epoch }, (await findSealed(worker, [id])).get(id)!);

/** As the owner, whom no trigger stops. */
const tamper = (sql: string) => db.owner.query(`begin; set local session_replication_role = replica; ${sql}; commit`);

describe('a row that the API has written', () => {
  it('is sealed, and may be told so by worker, API, audit and whoever decides', async () => {
    const id = await kept();
    expect(await verdict(id)).toEqual({ kind: 'sealed' });
    for (const role of ['app_api', 'app_decisions', 'auditor'] as const)
      expect(verdictOn(sealTrust(), (await findSealed(db.poolFor(role), [id])).get(id)!)).toEqual({ kind: 'sealed' });
  });

  it.each([
    ['its order', `external_order_number = 'o-other'`, 'over another row'],
    ['its content hash', `content_hash = sha256('x')`, 'over another row'],
    ['its bytes', `raw = '{}'`, 'over another row'],
    ['its receipt', `receipt = 'stale', review_reason = 'STALE'`, 'over another row'],
    ['its fields', `data = data || '{"transactionAmount":"6000"}'`, 'its fields are not those'],
    ['a field left out', `data = data - 'paymentPrice'`, 'its fields are not those'],
    ['the time it came', `received_at = received_at - interval '62 seconds'`, 'away from its seal'],
    ['the time it was sealed', `sealed_ms = sealed_ms + 1`, 'over another row'],
    ['its key', `seal_key = 'other'`, 'the key other, which is not known'],
    ['its seal', `seal = decode(repeat('00', 64), 'hex')`, 'over another row'],
  ])('is found when somebody has changed %s', async (_, change, fault) => {
    const id = await kept();
    await tamper(`update engine.callback set ${change} where id = ${id}`);
    expect(await verdict(id)).toEqual({ kind: 'broken', fault: expect.stringContaining(fault) });
  });

  it.each([
    ['changed', `update engine.callback_attempt set timestamp_ms = 1 where callback = `],
    ['taken away', `delete from engine.callback_attempt where callback = `],
  ])('is found when the stamp of its message is %s', async (_, sql) => {
    const id = await kept();
    await tamper(sql + id);
    expect(await verdict(id)).toMatchObject({ kind: 'broken' });
  });

  it('keeps its seal when its order turns up', async () => {
    const order = await reserved(db.owner);
    const { externalOrderNumber } = order;
    const data = paid(order);
    const stamp = stampOf();
    const unknown = { receipt: 'unknown_order', reviewReason: 'UNKNOWN_ORDER' } as const;
    const row = sealed(
      { externalOrderNumber, contentHash: contentHash(data), data, raw: Buffer.from('{}'), ...unknown },
      stamp,
    );
    const { id } = await inTransaction(api, (client) => insertCallback(client, row, stamp));
    const to = { receipt: 'first', reviewReason: null } as const;
    await sentBefore(db.owner, externalOrderNumber);
    await inTransaction(api, (client) => rerouteCallback(client, id, to, stamp));
    expect(await verdict(id)).toEqual({ kind: 'sealed' });
  });

  it('is sealed as well where it holds what a history says', async () => {
    const order = await reserved(db.owner);
    const row = await inTransaction(api, (client) =>
      insertRestored(client, order.externalOrderNumber, 'says: 5000 MTC', 'RESTORED', seal),
    );
    expect(await verdict(row!.id)).toEqual({ kind: 'sealed' });
  });
});

describe('a row without a seal', () => {
  it('is genuine up to the epoch and not beyond, and the settings may say less than the database and never more', async () => {
    const old = await kept(false);
    expect(await verdict(old)).toEqual({ kind: 'not_sealed' });
    await db.owner.query('insert into engine.seal_epoch (callback) select max(id) from engine.callback');
    const fresh = await kept(false);
    expect(await verdict(old)).toEqual({ kind: 'before' });
    expect(await verdict(fresh)).toEqual({ kind: 'not_sealed' });
    expect(await verdict(old, '0')).toEqual({ kind: 'not_sealed' });
    expect(await verdict(old, old)).toEqual({ kind: 'before' });
    expect(await verdict(fresh, '900000000000000000')).toEqual({ kind: 'not_sealed' });
    expect((['sealed', 'before', 'not_sealed'] as const).map((kind) => isGenuine({ kind }))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('is what every role but the API writes, and nobody but the owner moves the epoch, or removes it', async () => {
    const id = await kept();
    for (const role of ['app_api', 'app_worker', 'app_decisions', 'auditor'] as const) {
      const pool = db.poolFor(role);
      const denied = { code: '42501' };
      await expect(pool.query('insert into engine.seal_epoch (callback) values (9)')).rejects.toMatchObject(denied);
      await expect(pool.query('update engine.callback set seal = null where id = $1', [id])).rejects.toMatchObject(
        denied,
      );
    }
    await expect(
      api.query('insert into engine.callback (id) overriding system value values (1)'),
    ).rejects.toMatchObject({ code: '42501' });
    await expect(api.query('insert into engine.callback (received_at) values (now())')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(db.owner.query('delete from engine.seal_epoch')).rejects.toMatchObject({ code: 'P0E01' });
    await expect(db.owner.query('update engine.callback set sealed_ms = 0 where id = $1', [id])).rejects.toMatchObject({
      code: 'P0E02',
    });
    await expect(tamper(`update engine.callback set seal_key = null where id = ${id}`)).rejects.toMatchObject({
      code: '23514',
    });
  });
});
