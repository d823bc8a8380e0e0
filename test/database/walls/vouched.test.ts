import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createSealer, type NewSeal, publicSealKey, sealKey, sealPublicKeys } from '../../../config/keys/inbox-seal.ts';
import { fixedKeyring } from '../../../config/keys/keyring.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { insertCallback, type NewCallback, type Stamp } from '../../../database/queries/callbacks.ts';
import { noteProposal } from '../../../database/queries/cases.ts';
import { insertCase } from '../../support/operators.ts';
import { createPool, inTransaction, type Role } from '../../../database/pool.ts';
import { demandMacs, registerSealKey } from '../../../database/queries/seal-macs.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { carryOutDecision } from '../../../ledger/decide.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { vouchForWaiting } from '../../../providers/sealed-rows.ts';
import { itemFor, reserved } from '../../ledger/payments.ts';
import { paid } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { insertCallback as insertByOwner, markReviewed } from '../../support/messages/inbox.ts';
import { insertDecision } from '../../support/operators.ts';
import { until } from '../../support/until.ts';

/**
 * Rows that the logins of API and worker can have put aside before a key was registered, or taken away: no machine
 * credits them.
 */
const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const generation = () => {
  const seed = new Secret(randomBytes(32));
  const key = sealKey(seed);
  return { key, seal: createSealer(fixedKeyring(key)), publicKey: publicSealKey(seed) };
};
const [own, next, last] = [generation(), generation(), generation()];
const trustIn = (...all: readonly { readonly publicKey: string }[]) => ({
  publicKeys: sealPublicKeys(new Secret(Buffer.from(all.map(({ publicKey }) => publicKey).join()))),
  epoch: null,
});
const STAMP: Stamp = { keyId: 'key', timestampMs: 1_767_225_600_737 };

async function session(role: Role, begin = ''): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: db.urlFor(role) });
  await client.connect();
  onTestFinished(() => client.end());
  if (begin !== '') await client.query(`${begin}; select 1 from engine.deposit limit 1`);
  return client;
}

/** A message of a new order; `by`: the key of its seal, null: an invalid one. */
async function message(by: typeof own | null, receipt: 'first' | 'other_content' = 'first') {
  const order = await reserved(db.owner);
  const data = paid(order);
  const row: Omit<NewCallback, 'seal'> = {
    externalOrderNumber: order.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from(JSON.stringify(data)),
    receipt,
    reviewReason: receipt === 'first' ? null : 'SECOND_CODE',
  };
  const rawHash = createHash('sha256').update(row.raw).digest();
  const none: NewSeal = { signature: randomBytes(64), key: own.key.id, sealedMs: Date.now(), mac: randomBytes(32) };
  const seal = by === null ? none : by.seal({ ...row, rawHash, stamp: STAMP, sealedMs: Date.now() });
  return { order, data, row, seal, write: (client: pg.ClientBase) => insertCallback(client, { ...row, seal }, STAMP) };
}
const write = async (by: typeof own | null) => {
  const one = await message(by);
  return { ...one, id: (await inTransaction(db.poolFor('app_api'), one.write)).id };
};
type Written = { readonly order: Parameters<typeof itemFor>[0]; readonly id: string; readonly data: CallbackData };
const credited = async ({ order, id, data }: Written) =>
  (await creditAll(worker, [itemFor(order, id, data)]))[0]!.outcome;

const itemOf = ({ order, id, data }: Written): string =>
  JSON.stringify([
    {
      inbox_id: id,
      deposit: order.externalOrderNumber,
      wallet: order.wallet,
      provider_code: data.transactionCode,
      amount: data.transactionAmount,
      fiat: data.currencyCode,
      fiat_amount: data.paymentPrice,
      late: false,
    },
  ]);
/** The case of a second payment, whose row is older than the demand for MACs. */
async function unvouched(by: typeof own | null) {
  const { row, seal, order } = await message(by, 'other_content');
  const deposit = order.externalOrderNumber;
  const { id } = await insertByOwner(db.owner, { ...row, deposit, acked: true, seal }, STAMP);
  const workflowId = `review:${id}`;
  await insertCase(db.owner, { workflowId, inboxId: id, reason: 'SECOND_CODE' });
  await markReviewed(db.owner, id, workflowId);
  return { workflowId };
}

describe('by what was put aside nothing is minted', () => {
  const before: Record<string, Written> = {};
  const forgeries = () =>
    [
      'forged',
      'credited in a transaction that is open',
      'in a transaction that was open',
      'forged, and not refused yet',
    ].map((what) => before[what]!.id);
  /** A reader of the table itself waits behind it. */
  const demandWaits = () =>
    until('the demand to wait', async () => {
      const { rowCount } = await db.owner.query(
        `select from pg_locks where relation = 'engine.seal_demand'::regclass and not granted`,
      );
      return rowCount! > 0;
    });
  let snapshot: pg.Client, snapshotOfWorker: pg.Client, late: Awaited<ReturnType<typeof message>>;
  beforeAll(async () => {
    const connect = async (role: Role) => {
      const client = new pg.Client({ connectionString: db.urlFor(role) });
      await client.connect();
      return client;
    };
    before['forged'] = await write(null);
    before['with an outcome that it never had'] = await write(null);
    // The logins of API and worker could do so before the contract.
    await db.owner.query(`update engine.callback set outcome = 'posting:1' where id = $1`, [
      before['with an outcome that it never had'].id,
    ]);
    const crediting = await connect('app_worker');
    await crediting.query('begin');
    before['credited in a transaction that is open'] = await write(null);
    const minted = await crediting.query<{ outcome: string }>('select outcome from engine.credit($1)', [
      itemOf(before['credited in a transaction that is open']),
    ]);
    expect(minted.rows).toEqual([{ outcome: 'posted' }]);
    before['genuine'] = await write(own);
    late = await message(null);
    const unfinished = await connect('app_api');
    [snapshot, snapshotOfWorker] = [await connect('app_api'), await connect('app_worker')];
    const open = await message(null);
    await unfinished.query('begin');
    const { id } = await open.write(unfinished);
    before['in a transaction that was open'] = { ...open, id };
    for (const one of [snapshot, snapshotOfWorker])
      await one.query('begin isolation level repeatable read; select 1 from engine.deposit limit 1');
    await registerSealKey(db.owner, own.key, false);
    before['noted'] = await write(own);
    before['forged, and not refused yet'] = await write(null);
    // Otherwise their changes would be committed when MACs are demanded.
    const demanded = demandMacs(db.owner);
    await demandWaits();
    await crediting.query('rollback');
    await crediting.end();
    await demandWaits();
    await unfinished.query('commit');
    await unfinished.end();
    await demanded;
    before['settled'] = await write(own);
    expect(await credited(before['settled'])).toBe('posted');
    return async () => void (await Promise.all([snapshot.end(), snapshotOfWorker.end()]));
  });

  it('a snapshot from before the key takes no message, and credits none', async () => {
    await expect(late.write(snapshot)).rejects.toMatchObject({ code: '25000' });
    const minting = snapshotOfWorker.query('select * from engine.credit($1)', [itemOf(before['forged']!)]);
    await expect(minting).rejects.toMatchObject({ code: '25000' });
  });

  it.each([
    ['forged', 'busy'],
    ['in a transaction that was open', 'busy'],
    ['forged, and not refused yet', 'busy'],
    ['with an outcome that it never had', 'unproven'],
    ['credited in a transaction that is open', 'busy'],
  ])('a row from before: %s', async (what, outcome) => {
    expect(await credited(before[what]!)).toBe(outcome);
  });

  it('a genuine one is vouched for by its seal, when the key is registered; the others are named', async () => {
    expect(await credited(before['noted']!)).toBe('posted');
    expect(await credited(before['genuine']!)).toBe('busy');
    const { vouched, others } = await vouchForWaiting(db.owner, own.key.id, trustIn(own));
    expect(vouched).toBe(1);
    expect(others).toEqual(forgeries());
    expect(await credited(before['genuine']!)).toBe('posted');
    expect(await credited(before['settled']!)).toBe('duplicate');
  });

  it('a key that is taken away vouches for nothing that waits; who trusts its public half verifies that again', async () => {
    const waiting = await write(own);
    await registerSealKey(db.owner, next.key);
    const old = await session('app_api', 'begin isolation level serializable');
    const { write: writeLate } = await message(own);
    await db.owner.query('delete from engine.seal_mac where key = $1', [own.key.id]);
    await expect(writeLate(old)).rejects.toMatchObject({ code: '25000' });
    expect(await credited(waiting)).toBe('busy');
    expect((await vouchForWaiting(db.owner, next.key.id, trustIn(next))).others).toContain(waiting.id);
    expect(await credited(waiting)).toBe('busy');
    expect((await vouchForWaiting(db.owner, next.key.id, trustIn(next, own))).vouched).toBe(1);
    expect(await credited(waiting)).toBe('posted');
    for (const sql of ['delete from engine.seal_mac', 'truncate engine.seal_mac', 'delete from engine.seal_demand'])
      await expect(db.owner.query(sql)).rejects.toMatchObject({ code: 'P0E01' });
  });

  it('the next key vouches for what waits under the old one, before that is taken away', async () => {
    const waiting = await write(next);
    await registerSealKey(db.owner, last.key);
    const holder = await session('app_api', 'begin');
    await holder.query(`select engine.count_attempt($1, 'key', 1, 1)`, [waiting.id]);
    expect(await vouchForWaiting(db.owner, last.key.id, trustIn(last, next))).toMatchObject({ vouched: 0, held: 1 });
    await holder.query('rollback');
    expect(await vouchForWaiting(db.owner, last.key.id, trustIn(last))).toEqual({
      vouched: 0,
      held: 0,
      others: forgeries(),
    });
    expect(await vouchForWaiting(db.owner, last.key.id, trustIn(last, next))).toEqual({
      vouched: 1,
      held: 0,
      others: forgeries(),
    });
    await db.owner.query('delete from engine.seal_mac where key = $1', [next.key.id]);
    expect(await credited(waiting)).toBe('posted');
  });

  it.each([false, true])(
    'people and the login of decisions credit by none either, one that is parked: %s',
    async (parked) => {
      const [forged, genuine] = [await unvouched(null), await unvouched(last)];
      for (const { workflowId } of [forged, genuine])
        if (parked) await worker.query('select engine.park($1)', [workflowId]);
      const asked = async ({ workflowId }: { readonly workflowId: string }, decision: string) => {
        const step = async (operator: string, body: object) =>
          (
            await insertDecision(db.poolFor('app_api'), { workflowId, operator, ...body } as Parameters<
              typeof insertDecision
            >[1])
          ).id;
        const proposal = await step('alice', {
          step: 'propose',
          decision,
          reason: 'as the statement says',
          keep: false,
          toDeposit: null,
        });
        await noteProposal(db.owner, workflowId, proposal);
        const confirmation = await step('bob', { step: 'confirm', proposal, reason: null });
        // The login's own claim about the seal.
        return carryOutDecision(
          db.poolFor('app_decisions'),
          { workflowId, proposalId: proposal, confirmationId: confirmation },
          () => Promise.resolve(true),
        );
      };
      for (const of of [forged, genuine])
        expect(await asked(of, 'credit')).toMatchObject({ kind: 'refused', refusal: 'unproven' });
      await vouchForWaiting(db.owner, last.key.id, trustIn(last));
      expect(await asked(forged, 'credit')).toMatchObject({ kind: 'refused', refusal: 'unproven' });
      expect(await asked(genuine, 'credit')).toMatchObject({ kind: 'decided', decision: 'credit' });
      expect(await asked(forged, 'reject')).toMatchObject({ kind: 'decided', decision: 'reject' });
    },
  );

  it('a session that has every plan and every message told to it learns nothing of the key', async () => {
    const { rows } = await db.owner.query<{ pads: Buffer[] }>(
      'select array[inner_pad, outer_pad] as pads from engine.seal_mac',
    );
    const { write: forge } = await message(null);
    const client = await session('app_api');
    const told: string[] = [];
    client.on('notice', ({ message: said, detail }) => told.push(`${said}\n${detail}`));
    await client.query(
      `set debug_print_plan = on; set debug_print_parse = on; set client_min_messages = debug5; set plan_cache_mode = force_custom_plan`,
    );
    await expect(forge(client)).rejects.toMatchObject({ code: 'P0E61' });
    const all = told.join('\n').replaceAll(/\s+/g, ' ');
    expect(all).toContain('PLANNEDSTMT');
    const printed = (pad: Buffer) => [...pad.subarray(0, 12)].map((byte) => (byte << 24) >> 24).join(' ');
    for (const pad of rows.flatMap(({ pads }) => pads)) {
      expect(all).not.toContain(printed(pad));
      expect(all).not.toContain(pad.toString('hex').slice(0, 24));
    }
  });
});

it('a deposit has times that a calendar has', async () => {
  const { externalOrderNumber } = await reserved(db.owner);
  await db.owner.query(`begin; set local session_replication_role = replica;
    update engine.deposit set state = 'PLACING' where external_order_number = '${externalOrderNumber}'; commit`);
  for (const until of ['infinity', '-infinity', '10000-01-01', '0044-03-15 BC'])
    await expect(
      db.poolFor('app_api').query('select engine.adopt_deposit($1, $2)', [externalOrderNumber, until]),
    ).rejects.toMatchObject({ code: '23514', constraint: 'times' });
});

it('no login has plans written into the server’s log, with what our statements are given', async () => {
  const name = new URL(db.url).pathname.slice(1);
  await db.owner.query(`alter role app_api in database ${name} set debug_print_plan = on`);
  const pool = createPool({ url: db.urlFor('app_api'), applicationName: 'test' });
  onTestFinished(() => pool.end());
  const { rows } = await pool.query(`select current_setting('debug_print_plan') as prints,
    (select s.setconfig from pg_db_role_setting s where s.setdatabase = (select oid from pg_database where datname = current_database())) as asked`);
  expect(rows).toEqual([{ prints: 'off', asked: ['debug_print_plan=on'] }]);
});

it('who only looks, or only appends, cannot take all connections', async () => {
  const { rows } = await db.owner.query(
    `select rolname from pg_roles where rolname in ('auditor', 'archiver')
        and rolconnlimit between 1 and current_setting('max_connections')::int / 2`,
  );
  expect(rows).toHaveLength(2);
});
