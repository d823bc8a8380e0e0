import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixedKeyring } from '../../../config/keys/keyring.ts';
import { createSealer, type NewSeal, sealKey } from '../../../config/keys/inbox-seal.ts';
import { Secret } from '../../../config/keys/secret.ts';
import {
  type FirstMessage,
  insertCallback,
  insertRestored,
  type NewCallback,
  receiveFirsts,
  type Stamp,
} from '../../../database/queries/callbacks.ts';
import { inTransaction } from '../../../database/pool.ts';
import { NO_MAC, registeredSealKeys, registerSealKey } from '../../../database/queries/seal-macs.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { itemFor, reserved, sentBefore } from '../../ledger/payments.ts';
import { orderNumber, paid } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { sealed } from '../../support/seals.ts';

/** The logins of API and worker together, without a key: the database itself refuses their inbox rows. */
const db = await createTestDatabase();
const [api, worker] = [db.poolFor('app_api'), db.poolFor('app_worker')];
const generation = () => {
  const key = sealKey(new Secret(randomBytes(32)));
  return { key, seal: createSealer(fixedKeyring(key)) };
};
const [own, next] = [generation(), generation()];
const refused = { code: NO_MAC };
const STAMP: Stamp = { keyId: 'key', timestampMs: 1_767_225_600_737 };

type Row = Omit<NewCallback, 'seal'>;
const rowOf = (data: CallbackData): Row => ({
  externalOrderNumber: data.externalOrderNumber,
  contentHash: contentHash(data),
  data,
  raw: Buffer.from(JSON.stringify(data)),
  receipt: 'first',
  reviewReason: null,
});
function sealedBy({ seal }: { seal: typeof own.seal }, row: Row, stamp: Stamp = STAMP): NewSeal {
  const rawHash = createHash('sha256').update(row.raw).digest();
  return seal({ ...row, rawHash, stamp, sealedMs: Date.now() });
}
const insert = (row: Row, seal: NewSeal, stamp = STAMP) =>
  inTransaction(api, (client) => insertCallback(client, { ...row, seal }, stamp));
const ordered = async () => {
  const order = await reserved(db.owner);
  return { order, data: paid(order) };
};
/** An older API gives no MAC. */
const insertAsBefore = (row: Row, { signature, key, sealedMs }: NewSeal) =>
  api.query<{ id: string }>(`select id from engine.receive($1, $2, $3, $4, $5, $6, 'key', 1, 1, $7, $8, $9)`, [
    row.externalOrderNumber,
    row.contentHash,
    row.data,
    row.raw,
    row.receipt,
    row.reviewReason,
    signature,
    key,
    sealedMs,
  ]);
/** An invalid seal and MAC. */
const invented = (key: string): NewSeal => ({
  signature: randomBytes(64),
  key,
  sealedMs: Date.now(),
  mac: randomBytes(32),
});

it('while no key is registered an API of before goes on, and so does who mints with the logins of API and worker', async () => {
  const { order, data } = await ordered();
  const { rows } = await insertAsBefore(rowOf(data), invented('0123456789abcdef'));
  expect(await creditAll(worker, [itemFor(order, rows[0]!.id, data)])).toMatchObject([{ outcome: 'posted' }]);
});

describe('once a key is registered', () => {
  beforeAll(async () => {
    expect(await registerSealKey(db.owner, own.key)).toBe(true);
    expect(await registerSealKey(db.owner, own.key)).toBe(false);
    await registerSealKey(db.owner, next.key);
  });

  it('rows of the API are taken, under each registered key, and people’s restored ones too', async () => {
    for (const generationOf of [own, next]) {
      const { order, data } = await ordered();
      const { id } = await insert(rowOf(data), sealedBy(generationOf, rowOf(data)));
      expect(await creditAll(worker, [itemFor(order, id, data)])).toMatchObject([{ outcome: 'posted' }]);
    }
    const { order } = await ordered();
    const unread: Row = { ...rowOf(paid(order)), contentHash: randomBytes(32), data: null, receipt: 'unreadable' };
    await insert({ ...unread, reviewReason: 'UNREADABLE' }, sealedBy(own, unread));
    const restored = inTransaction(api, (client) =>
      insertRestored(client, order.externalOrderNumber, 'it says: 5000 MTC', 'RESTORED', own.seal),
    );
    expect(await restored).toMatchObject({ receipt: 'restored' });
  });

  it('nothing is minted: a seal that is none, an API of before, a key that is not registered, another row’s MAC', async () => {
    const { data } = await ordered();
    const row = rowOf(data);
    await expect(insert(row, invented(own.key.id))).rejects.toMatchObject(refused);
    await expect(insertAsBefore(row, sealedBy(own, row))).rejects.toMatchObject(refused);
    await expect(insert(row, sealedBy(generation(), row))).rejects.toMatchObject(refused);
    await expect(insert(row, { ...sealedBy(own, row), key: next.key.id })).rejects.toMatchObject(refused);
    await expect(insert(row, sealed(row, STAMP).seal)).rejects.toMatchObject(refused);
    await expect(insert(row, { ...sealedBy(own, row), mac: null as never })).rejects.toMatchObject(refused);
    const said = inTransaction(api, (client) =>
      insertRestored(client, data.externalOrderNumber, 'it says: 5000 MTC', 'RESTORED', generation().seal),
    );
    await expect(said).rejects.toMatchObject(refused);
  });

  it.each<[string, (row: Row) => Partial<Row>]>([
    ['its order', () => ({ externalOrderNumber: orderNumber(), receipt: 'unknown_order' })],
    ['its content hash', () => ({ contentHash: randomBytes(32) })],
    ['its bytes', () => ({ raw: Buffer.from('{}') })],
    ['its receipt', () => ({ receipt: 'other_content', reviewReason: 'SECOND_CODE' })],
    ['its amount, whatever its hash says', ({ data }) => ({ data: { ...data!, transactionAmount: '5001' } })],
    [
      'a field of it that is left out',
      ({ data }) => ({ data: { ...data!, transactionCreateTime: undefined as never } }),
    ],
  ])('a genuine MAC does not serve another row: %s', async (_, change) => {
    const { data } = await ordered();
    const row = rowOf(data);
    await expect(insert({ ...row, ...change(row) }, sealedBy(own, row))).rejects.toMatchObject(refused);
  });

  it.each<[string, Partial<Stamp>]>([
    ['another time', { timestampMs: STAMP.timestampMs + 1 }],
    ['another key', { keyId: 'other' }],
  ])('nor a message of another stamp: %s', async (_, change) => {
    const { data } = await ordered();
    const row = rowOf(data);
    await expect(insert(row, sealedBy(own, row), { ...STAMP, ...change })).rejects.toMatchObject(refused);
    const { mac, sealedMs, ...seal } = sealedBy(own, row);
    await expect(insert(row, { ...seal, mac, sealedMs: sealedMs + 1 })).rejects.toMatchObject(refused);
  });

  it('nor is one minted among genuine ones that share a statement, of which none is written then', async () => {
    const message = async (): Promise<FirstMessage> => {
      const { data } = await ordered();
      await sentBefore(db.owner, data.externalOrderNumber);
      const seal = sealedBy(own, rowOf(data));
      return { ...rowOf(data), seal, stamp: STAMP, ageMs: 0, sentByMs: Date.now(), copies: 1 };
    };
    const forgeries: ((of: FirstMessage) => Partial<FirstMessage>)[] = [
      () => ({ seal: invented(own.key.id) }),
      (of) => ({ seal: sealedBy(generation(), { ...rowOf(of.data!), raw: of.raw }) }),
      ({ seal }) => ({ seal: { ...seal, key: next.key.id } }),
      ({ seal }) => ({ seal: { ...seal, sealedMs: seal.sealedMs + 1 } }),
      (of) => ({ seal: sealedBy(own, { ...rowOf(of.data!), receipt: 'other_content' }) }),
      () => ({ contentHash: randomBytes(32) }),
      () => ({ raw: Buffer.from('{}') }),
      ({ data }) => ({ data: { ...data!, transactionAmount: '5001' } }),
      ({ data }) => ({ data: { ...data!, transactionCreateTime: undefined as never } }),
      ({ data }) => ({ data: { ...data!, externalOrderNumber: orderNumber() } }),
      () => ({ stamp: { ...STAMP, timestampMs: STAMP.timestampMs + 1 } }),
      () => ({ stamp: { ...STAMP, keyId: 'other' } }),
    ];
    const genuine = await message();
    for (const forged of forgeries) {
      const of = await message();
      await expect(receiveFirsts(api, [genuine, { ...of, ...forged(of) }]), forged.toString()).rejects.toMatchObject(
        refused,
      );
    }
    const stillReads = inTransaction(api, async (client) => {
      await client.query('set transaction isolation level repeatable read');
      return receiveFirsts(client, [genuine]);
    });
    await expect(stillReads).rejects.toMatchObject({ code: '25000' });
    const [taken] = await receiveFirsts(api, [genuine]);
    expect(taken).toMatchObject({ kind: 'first' });
    const { rows } = await db.owner.query('select vouched_by from engine.callback where id = $1', [taken!.row.id]);
    expect(rows).toEqual([{ vouched_by: own.key.id }]);
  });

  it('whatever a message says in its texts is hashed by the database as by the API', async () => {
    const text = fc
      .string({ unit: 'binary', maxLength: 20 })
      .filter((one) => !/\p{Cc}|\p{Cs}/u.test(one))
      .map((one) => `${one}"\\/\u2028\u007e é`);
    await fc.assert(
      fc.asyncProperty(text, text, async (transactionCreateTime, paymentFinishedTime) => {
        const { data } = await ordered();
        const row = rowOf({ ...data, transactionCreateTime, paymentFinishedTime });
        await insert(row, sealedBy(own, row));
      }),
      { numRuns: 30 },
    );
  });

  it('no login reads what proves a row; which keys there are, API and auditor may', async () => {
    for (const role of ['app_api', 'app_worker', 'app_decisions', 'auditor', 'archiver'] as const) {
      const pool = db.poolFor(role);
      for (const column of ['inner_pad', 'outer_pad', '*', 'm', 'to_jsonb(m)'])
        await expect(pool.query(`select ${column} from engine.seal_mac m`)).rejects.toMatchObject({ code: '42501' });
      await expect(pool.query('delete from engine.seal_mac')).rejects.toMatchObject({ code: '42501' });
      for (const inside of ['write_message', 'write_restored', 'verify_mac', 'is_vouched'])
        expect(
          (
            await db.owner.query(
              `select from pg_proc where proname = $1 and has_function_privilege($2, oid, 'execute')`,
              [inside, role],
            )
          ).rowCount,
        ).toBe(0);
    }
    expect(await registeredSealKeys(api)).toEqual([own.key.id, next.key.id]);
    expect(await registeredSealKeys(db.poolFor('auditor'))).toHaveLength(2);
  });
});

describe('a deposit that the API’s login inserts', () => {
  const insertDeposit = (mtcAmount: string, settings: object) =>
    api.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings)
       values ($1, 'wallet-evil', 'MtcAmount', $2, 'CNY', 'en', '', $3)`,
      [orderNumber(), mtcAmount, { paymentWindowMs: 1, listeningWindowMs: 1, ...settings }],
    );
  it.each<[string, string, object]>([
    ['NaN', 'NaN', {}],
    ['Infinity', 'Infinity', {}],
    ['more than there is', '1e20', {}],
    ['a limit without end', '5', { reviewLimit: 'Infinity' }],
    ['a limit that is no number', '5', { reviewLimit: 'NaN' }],
    ['a cap without end', '5', { creditCap: '1e999999' }],
    ['a fee band that is no number', '5', { feeBands: { CNY: 'NaN' } }],
    ['no payment window', '5', { paymentWindowMs: undefined }],
    ['a window that is no number', '5', { paymentWindowMs: 'soon' }],
    ['no listening window', '5', { listeningWindowMs: null }],
    ['a rate band without end', '5', { rateBands: { CNY: { from: '0', to: 'Infinity' } } }],
  ])('is judged by finite numbers: %s', async (_, amount, settings) => {
    await expect(insertDeposit(amount, settings)).rejects.toMatchObject({ code: 'P0E56' });
  });

  it('as the API itself writes it, is taken; one of before is changed as ever', async () => {
    const { order } = await ordered();
    await byHand(
      db.owner,
      `update engine.deposit set settings = '{"reviewLimit": "Infinity"}' where external_order_number = $1`,
      [order.externalOrderNumber],
    );
    await db.owner.query(`update engine.deposit set state = 'EXPIRED' where external_order_number = $1`, [
      order.externalOrderNumber,
    ]);
  });
});
