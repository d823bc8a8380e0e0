import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { insertCase } from '../support/operators.ts';
import { insertCallback, insertRestored, rerouteCallback } from '../../database/queries/callbacks.ts';
import * as byOwner from '../support/messages/inbox.ts';
import { inTransaction } from '../../database/pool.ts';
import {
  findSealed,
  findSealedOfCase,
  isGenuine,
  registerAndVouch,
  type SealedRow,
  verdictOn,
} from '../../providers/sealed-rows.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { order, paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { seal, sealed, sealTrust, testSealKey } from '../support/seals.ts';
import { until } from '../support/until.ts';

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

describe('a row by itself', () => {
  const data = paid(order());
  const rawHash = createHash('sha256').update('raw').digest();
  const AT = Date.UTC(2026, 2, 1);
  /** As the table has it, sealed with that stamp. */
  function row(
    change: Partial<SealedRow> = {},
    stamp: { keyId: string; timestampMs: number } | null = null,
  ): SealedRow {
    const facts = {
      receipt: 'first',
      externalOrderNumber: data.externalOrderNumber,
      contentHash: contentHash(data),
    } as const;
    const { signature, key } = seal({ ...facts, rawHash, stamp, sealedMs: AT });
    return {
      id: '7',
      receipt: 'first',
      order: data.externalOrderNumber,
      content_hash: facts.contentHash,
      data,
      raw_hash: rawHash,
      received_at: new Date(AT),
      seal: signature,
      seal_key: key,
      sealed_ms: `${AT}`,
      key_id: stamp?.keyId ?? null,
      timestamp_ms: stamp === null ? null : `${stamp.timestampMs}`,
      given: false,
      ...change,
    };
  }
  const said = (of: SealedRow) => verdictOn(sealTrust(), of);

  it('is sealed with the stamp of its message, without one, and where it holds no data', () => {
    expect(said(row())).toEqual({ kind: 'sealed' });
    expect(said(row({}, { keyId: 'key', timestampMs: 5 }))).toEqual({ kind: 'sealed' });
    expect(said(row({ data: null }))).toEqual({ kind: 'sealed' });
    const broken = { kind: 'broken', fault: 'its seal is over another row' };
    expect(said(row({ key_id: 'key', timestamp_ms: '5' }))).toEqual(broken);
    expect(said(row({ timestamp_ms: '6' }, { keyId: 'key', timestampMs: 5 }))).toEqual(broken);
  });

  it.each([-60_000, 60_000])('may have been received a minute from its seal: %i ms', (awayMs) => {
    expect(said(row({ received_at: new Date(AT + awayMs) }))).toEqual({ kind: 'sealed' });
    const further = new Date(AT + awayMs + 2_000 * Math.sign(awayMs));
    expect(said(row({ received_at: further }))).toEqual({ kind: 'broken', fault: 'received 62 s away from its seal' });
  });

  it('is broken in what no longer fits, and the fault says in what', () => {
    const other = { ...data, paymentPrice: '1' };
    expect([row({ seal_key: 'other' }), row({ data: other })].map((of) => said(of))).toEqual([
      { kind: 'broken', fault: 'sealed with the key other, which is not known' },
      { kind: 'broken', fault: 'its fields are not those it was sealed with' },
    ]);
    expect(isGenuine({ kind: 'broken', fault: '' })).toBe(false);
  });

  it.each([
    ['7', '7', null, 'before'],
    ['8', '7', null, 'not_sealed'],
    ['1', undefined, null, 'not_sealed'],
    ['0', '7', null, 'not_sealed'],
    ['-1', '7', null, 'not_sealed'],
    ['7', '9', '7', 'before'],
    ['8', '9', '7', 'not_sealed'],
    ['8', '7', '9', 'not_sealed'],
  ])('without a seal, of number %s where the database says %s and the settings %s, is %s', (id, epoch, set, kind) => {
    const bare = row({ id, seal: null, seal_key: null, sealed_ms: null, ...(epoch === undefined ? {} : { epoch }) });
    expect(verdictOn({ ...sealTrust(), epoch: set }, bare)).toEqual({ kind });
  });
});

describe('a key that is registered', () => {
  it('vouches for what waits, also for what somebody holds meanwhile; a second time for nothing more', async () => {
    const [waiting, held, nobodys] = [await kept(), await kept(), await kept(false)];
    const holder = new pg.Client({ connectionString: db.urlFor('app_api') });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query('begin');
    await holder.query(`select engine.count_attempt($1, 'key', 1, 1)`, [held]);
    const registering = registerAndVouch(db.owner, testSealKey, sealTrust());
    const vouchedBy = async (id: string) =>
      (await db.owner.query<{ by: string | null }>('select vouched_by as by from engine.callback where id = $1', [id]))
        .rows[0]!.by;
    await until('the row that is free to be vouched for', async () => (await vouchedBy(waiting)) === testSealKey.id);
    await holder.query('rollback');
    const { isNew, held: left, others, vouched } = await registering;
    expect({ isNew, left }).toEqual({ isNew: true, left: 0 });
    expect(vouched).toBeGreaterThanOrEqual(2);
    expect(others.filter((id) => [waiting, held, nobodys].includes(id))).toEqual([nobodys]);
    expect(await vouchedBy(held)).toBe(testSealKey.id);
    expect(await registerAndVouch(db.owner, testSealKey, sealTrust())).toEqual({
      isNew: false,
      vouched: 0,
      held: 0,
      others,
    });
  });

  it('vouches for a row from before seals where people have it, and for no other', async () => {
    // As before the key was registered: no process writes such a row any more.
    const [old, given] = [await kept(), await kept()];
    await insertCase(db.owner, { workflowId: `review:${given}`, inboxId: given, reason: 'SECOND_CODE' });
    await byOwner.markReviewed(db.owner, given, `review:${given}`);
    await tamper(
      `update engine.callback set seal = null, seal_key = null, sealed_ms = null, vouched_by = null where id in (${old}, ${given})`,
    );
    await db.owner.query('insert into engine.seal_epoch (callback) select max(id) from engine.callback');
    await registerAndVouch(db.owner, testSealKey, sealTrust());
    const { rows } = await db.owner.query(
      'select id, vouched_by as by from engine.callback where id = any($1) order by id',
      [[old, given]],
    );
    expect(rows).toEqual([
      { id: old, by: null },
      { id: given, by: testSealKey.id },
    ]);
  });

  it('tries ten times where somebody holds a row all the time, and says how many are left', async () => {
    const held = await kept();
    await tamper(`update engine.callback set vouched_by = null where id = ${held}`);
    const holder = new pg.Client({ connectionString: db.urlFor('app_api') });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query('begin');
    await holder.query(`select engine.count_attempt($1, 'key', 1, 1)`, [held]);
    let updates = 0;
    const owner = {
      query: (sql: string, values: unknown[]) => {
        if (/^update engine.callback c set vouched_by/.test(sql.trim())) updates += 1;
        return db.owner.query(sql, values);
      },
    } as unknown as pg.Pool;
    expect(await registerAndVouch(owner, testSealKey, sealTrust())).toMatchObject({ isNew: false, held: 1 });
    // Two batches each time, of which the second is empty; and once before.
    expect(updates).toBe(2 * 11);
    await holder.query('rollback');
    updates = 0;
    expect(await registerAndVouch(owner, testSealKey, sealTrust())).toMatchObject({ vouched: 1, held: 0 });
    expect(updates).toBe(2 * 2);
  });

  it('looks for the epoch only where a row has no seal', async () => {
    const [one, bare] = [await kept(), await kept()];
    await tamper(`update engine.callback set seal = null, seal_key = null, sealed_ms = null where id = ${bare}`);
    expect((await findSealed(worker, [one])).get(one)).not.toHaveProperty('epoch');
    const both = await findSealed(worker, [one, bare]);
    expect([both.get(one)!.epoch, both.get(bare)!.epoch]).toEqual([expect.any(String), expect.any(String)]);
  });

  it('finds the row of a case, or none', async () => {
    const id = await kept();
    await insertCase(db.owner, { workflowId: `review:${id}`, inboxId: id, reason: 'SECOND_CODE' });
    expect(await findSealedOfCase(worker, `review:${id}`)).toMatchObject({ id, given: false });
    expect(await findSealedOfCase(worker, 'review:0')).toBeNull();
  });
});
