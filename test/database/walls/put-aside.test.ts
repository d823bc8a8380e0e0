import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { credit } from '../../../activities/crediting.ts';
import { sealKey } from '../../../config/keys/inbox-seal.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { insertCallback, insertRestored, type Stamp } from '../../../database/queries/callbacks.ts';
import { reserveInAny } from '../../support/reservation.ts';
import { migrate, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { createPool, inTransaction, type Role, withClient } from '../../../database/pool.ts';
import { registerSealKey } from '../../../database/queries/seal-macs.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { carryOutDecision } from '../../../ledger/decide.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { vouchForWaiting } from '../../../providers/sealed-rows.ts';
import { memoryLog, raised } from '../../api/evidence.ts';
import { balanceOf, itemFor, newWallet } from '../../ledger/payments.ts';
import { order, paid, settings, reservation } from '../../support/builders.ts';
import { required } from '../../support/database.ts';
import { insertDecision, issueOperators } from '../../support/operators.ts';
import { seal, sealed, sealTrust, testSealKey } from '../../support/seals.ts';

/**
 * A database of before 027-put-aside.sql, whose contract came a day after its roles. Covers the rows that the logins
 * had put aside there, and those that they can still put there. They move no money, consume nothing of a genuine
 * payment, and block nothing.
 */
const name = `test_${randomBytes(6).toString('hex')}`;
const server = required('TEST_POSTGRES_URL');
const urlFor = (role?: Role): string => {
  const url = new URL(server);
  url.pathname = `/${name}`;
  if (role !== undefined) url.username = role;
  return url.href;
};
const poolFor = (role?: Role) =>
  createPool({ url: urlFor(role), applicationName: 'test', onIdleError: () => undefined });
const [owner, api, worker, decisions] = [
  poolFor(),
  poolFor('app_api'),
  poolFor('app_worker'),
  poolFor('app_decisions'),
];
async function asAdmin(sql: string): Promise<void> {
  await withClient({ connectionString: server }, async (admin) => {
    await admin.query(sql);
  });
}

const STAMP: Stamp = { keyId: 'key', timestampMs: Date.now() };
const LARGE = 'x'.repeat(40_000);
async function reserved() {
  const asked = order({ wallet: newWallet() });
  await reserveInAny(api, reservation(asked));
  return asked;
}
/** A message of a new order; `forged`: with an invalid seal and MAC. */
async function message(
  {
    receipt = 'first',
    forged = false,
  }: { readonly receipt?: 'first' | 'other_content'; readonly forged?: boolean } = {},
  data = undefined as ReturnType<typeof paid> | undefined,
) {
  const asked = await reserved();
  const said = { ...paid(asked), ...(data === undefined ? {} : { transactionCode: data.transactionCode }) };
  const row = sealed(
    {
      externalOrderNumber: asked.externalOrderNumber,
      contentHash: contentHash(said),
      data: said,
      raw: Buffer.from(JSON.stringify(said)),
      receipt,
      reviewReason: receipt === 'first' ? null : ('SECOND_CODE' as const),
    },
    STAMP,
  );
  if (forged) Object.assign(row.seal, { signature: randomBytes(64), mac: randomBytes(32) });
  const { id } = await inTransaction(api, (client) => insertCallback(client, row, STAMP));
  return { asked, data: said, id };
}
async function caseOf(id: string): Promise<string> {
  const { rows } = await api.query<{ id: string }>('select id from engine.open_case($1)', [id]);
  return rows[0]!.id;
}
/** A credit that two operators seem to have decided, by these two rows. */
const decided = (workflowId: string, proposalId: string, confirmationId: string) =>
  carryOutDecision(decisions, { workflowId, proposalId, confirmationId }, () => Promise.resolve(true));
async function proved(workflowId: string) {
  const body = { decision: 'credit', reason: 'as the statement says', keep: false, toDeposit: null } as const;
  const { id: proposal } = await insertDecision(api, { workflowId, operator: 'alice', step: 'propose', ...body });
  await worker.query('select engine.show_proposal($1, $2)', [workflowId, proposal]);
  const confirm = { workflowId, step: 'confirm', proposal, reason: null } as const;
  const { id: confirmation } = await insertDecision(api, { ...confirm, operator: 'bob' });
  return { proposal, confirmation };
}

const odd = new Map<string, Awaited<ReturnType<typeof reserved>>>();
let waits: {
  readonly workflowId: string;
  readonly asked: Awaited<ReturnType<typeof reserved>>;
  readonly proposal: string;
  readonly confirmation: string;
};
let spent: { readonly workflowId: string; readonly data: ReturnType<typeof paid> };
let parked: Awaited<ReturnType<typeof message>>;
let unsealed: string;
beforeAll(async () => {
  await asAdmin(`create database ${name}`);
  const before = await mkdtemp(join(tmpdir(), 'migrations-'));
  for (const file of (await readdir(MIGRATIONS)).filter((found) => found < '027'))
    await copyFile(join(MIGRATIONS, file), join(before, file));
  const client = await owner.connect();
  try {
    await migrate(client, before);
    await issueOperators(client);
    await client.query(
      `update engine.schema_migration set applied_at = applied_at - interval '1 day' where name < '021'`,
    );

    // Before 026-vouched.sql.
    await client.query('alter table engine.deposit drop constraint times');
    for (const until of ['infinity', '-infinity', '10000-01-01']) {
      const asked = await reserved();
      await api.query('select engine.adopt_deposit($1, $2)', [asked.externalOrderNumber, until]);
      odd.set(until, asked);
    }
    await client.query(`alter table engine.deposit add constraint times check (
      expires_at between '2000-01-01Z' and '9999-01-01Z' and listening_until between '2000-01-01Z' and '9999-01-01Z') not valid`);

    // Before the contract.
    const genuine = await message({ receipt: 'other_content' });
    const workflowId = await caseOf(genuine.id);
    await client.query('grant insert on engine.decision to app_api');
    const forge = async (step: string, operator: string, more: string, ...values: unknown[]) => {
      const { rows } = await api.query<{ id: string }>(
        `insert into engine.decision (id, callback, workflow_id, step, operator, key_id, ${more}) overriding system value
         select 1000000 + count(*), $1, $2, '${step}', '${operator}', 1, ${values.map((_, i) => `$${i + 3}`).join()} from engine.decision returning id`,
        [genuine.id, workflowId, ...values],
      );
      return rows[0]!.id;
    };
    const proposal = await forge('propose', 'alice', 'decision, reason', 'credit', 'as the statement says');
    await worker.query('select engine.show_proposal($1, $2)', [workflowId, proposal]);
    const confirmation = await forge('confirm', 'bob', 'proposal', proposal);
    await client.query('revoke insert on engine.decision from app_api');
    waits = { workflowId, asked: genuine.asked, proposal, confirmation };

    // Before a key was registered.
    const forged = await message({ receipt: 'other_content', forged: true });
    spent = { workflowId: await caseOf(forged.id), data: forged.data };
    parked = await message({ receipt: 'other_content', forged: true });
    await worker.query('select engine.park($1)', [await caseOf(parked.id)]);
    unsealed = (await message()).id;
    await client.query(`begin; set local session_replication_role = replica;
      update engine.callback set seal = null, seal_key = null, sealed_ms = null where id = ${unsealed}; commit`);
    await client.query('insert into engine.seal_epoch (callback) values ($1)', [unsealed]);
    await registerSealKey(client, testSealKey);
    await vouchForWaiting(client, testSealKey.id, sealTrust());
    await migrate(client);
  } finally {
    client.release();
    await rm(before, { recursive: true });
  }
  return async () => {
    await Promise.all([owner, api, worker, decisions].map((pool) => pool.end()));
    await asAdmin(`drop database ${name} with (force)`);
  };
});

describe('steps', () => {
  it('that the API’s login wrote itself, in the names of two people, move no money; those that people take do', async () => {
    const { workflowId, asked, proposal, confirmation } = waits;
    const wallet = `wallet:${asked.wallet}`;
    expect(await decided(workflowId, proposal, confirmation)).toMatchObject({
      kind: 'refused',
      refusal: 'unproven',
      detail: expect.stringContaining('taken again'),
    });
    expect(await balanceOf(owner, wallet)).toBe('0');
    const again = await proved(workflowId);
    expect(await decided(workflowId, again.proposal, again.confirmation)).toMatchObject({ kind: 'decided' });
    expect(await balanceOf(owner, wallet)).toBe('-5000');
  });
});

describe('transaction codes', () => {
  it('that nobody vouches for are not used up: the payment that came with one is credited', async () => {
    const { rows } = await worker.query('select posting, code_stands from engine.park($1)', [spent.workflowId]);
    expect(rows).toEqual([{ posting: null, code_stands: false }]);
    const { asked, data, id } = await message({}, spent.data);
    expect(await creditAll(worker, [itemFor(asked, id, data)])).toMatchObject([{ outcome: 'posted' }]);
  });

  it('that were used up before: the payment that came with one is shown to people, and an alarm says so', async () => {
    const { asked, data, id } = await message({}, parked.data);
    const { log, lines } = memoryLog();
    const post = async (item: ReturnType<typeof itemFor>) => (await creditAll(worker, [item]))[0]!;
    expect(await credit({ pool: worker, post, log }, itemFor(asked, id, data))).toEqual({
      kind: 'conflict',
      reason: 'LEDGER_CONFLICT',
    });
    expect(raised(log, lines)).toMatchObject([{ alarm: 'ledger_conflict', inboxId: id }]);
    await worker.query(`select engine.give_to_people($1, 'LEDGER_CONFLICT', '', false, true)`, [id]);
    const { rows } = await api.query('select standing, parked from engine.case_now where callback = $1', [id]);
    expect(rows).toEqual([{ standing: 'elsewhere', parked: null }]);
  });

  it('are not parked by a snapshot of before either', async () => {
    const client = await worker.connect();
    try {
      await client.query('begin isolation level repeatable read');
      await expect(client.query('select engine.park($1)', [spent.workflowId])).rejects.toMatchObject({ code: '25000' });
    } finally {
      client.release(true);
    }
  });
});

describe('rows without a seal, from before seals', () => {
  it('are vouched for where people have them, and no machine credits by them', async () => {
    const { rows } = await owner.query<{ vouched_by: string | null }>(
      'select vouched_by from engine.callback where id = $1',
      [unsealed],
    );
    expect(rows).toEqual([{ vouched_by: null }]);
    expect((await vouchForWaiting(owner, testSealKey.id, sealTrust())).others).toContain(unsealed);
    await api.query('select engine.raised($1, true) from engine.open_case($1)', [unsealed]);
    expect(await vouchForWaiting(owner, testSealKey.id, sealTrust())).toMatchObject({ vouched: 1 });
  });

  it('use up no transaction code by themselves, and people credit by them all the same', async () => {
    const workflowId = await caseOf(unsealed);
    const { rows } = await worker.query('select posting, code_stands from engine.park($1)', [workflowId]);
    expect(rows).toEqual([{ posting: null, code_stands: false }]);
    const { proposal, confirmation } = await proved(workflowId);
    expect(await decided(workflowId, proposal, confirmation)).toMatchObject({ kind: 'decided' });
  });
});

describe('what a history says', () => {
  it('is taken for nobody’s once a MAC is demanded, whatever the seal says', async () => {
    const { externalOrderNumber } = await reserved();
    await owner.query(`insert into engine.restored default values on conflict do nothing`);
    const restores = (why: 'RESTORED' | 'CASE_RESTORED', by: typeof seal) =>
      inTransaction(api, (client) => insertRestored(client, externalOrderNumber, `5000 MTC ${why}`, why, by));
    const forger: typeof seal = (facts) => ({ ...seal(facts), mac: randomBytes(32) });
    const other = sealKey(new Secret(randomBytes(32))).id;
    const ofOther: typeof seal = (facts) => ({ ...seal(facts), key: other });
    for (const why of ['RESTORED', 'CASE_RESTORED'] as const) {
      for (const by of [forger, ofOther]) await expect(restores(why, by)).rejects.toMatchObject({ code: 'P0E61' });
      const row = await restores(why, seal);
      const { rows } = await owner.query('select vouched_by from engine.callback where id = $1', [row!.id]);
      expect(rows).toEqual([{ vouched_by: testSealKey.id }]);
    }
    const hash = createHash('sha256').update('none').digest();
    await expect(
      api.query(`select engine.receive_restored($1, 'none', 'RESTORED', $2, 'key', 1)`, [externalOrderNumber, hash]),
    ).rejects.toMatchObject({ code: 'P0E61' });
  });
});

describe('times that no calendar has', () => {
  it.each(['infinity', '-infinity', '10000-01-01'])(
    'have become the deposit’s own windows, and its payment is taken: %s',
    async (until) => {
      const { externalOrderNumber } = odd.get(until)!;
      const { rows } = await api.query(
        `select expires_at - created_at = (settings->>'paymentWindowMs')::bigint * interval '1 millisecond' as pays,
              listening_until - expires_at = (settings->>'listeningWindowMs')::bigint * interval '1 millisecond' as listens
         from engine.deposit where external_order_number = $1`,
        [externalOrderNumber],
      );
      expect(rows).toEqual([{ pays: true, listens: true }]);
    },
  );

  it('hold up nothing else of a row that has one', async () => {
    const { externalOrderNumber } = odd.get('infinity')!;
    await owner.query(`begin; set local session_replication_role = replica;
      update engine.deposit set expires_at = 'infinity' where external_order_number = '${externalOrderNumber}'; commit`);
    await owner.query('update engine.deposit set late = true where external_order_number = $1', [externalOrderNumber]);
    await expect(
      owner.query(`update engine.deposit set listening_until = 'infinity' where external_order_number = $1`, [
        externalOrderNumber,
      ]),
    ).rejects.toMatchObject({ code: expect.stringMatching(/23514|P0E51/) });
  });
});

describe('numbers', () => {
  it('end, and a repeat is counted all the same', async () => {
    const { id } = await message({ receipt: 'other_content' });
    await owner.query('update engine.callback set attempts = 2147483600 where id = $1', [id]);
    for (const copies of [1_000, 1]) await api.query(`select engine.count_attempt($1, 'key', 1, $2)`, [id, copies]);
    const { rows } = await api.query(
      `select attempts from engine.reroute($1, 'other_content', 'SECOND_CODE', 'key', 1, 1000)`,
      [id],
    );
    expect(rows).toEqual([{ attempts: 2_147_483_647 }]);
  });
});

describe('values that nobody could read again are refused', () => {
  const refused = { code: 'P0E57' };
  const deposit = (column: string, value: string) =>
    api.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, currency_code, support_language, total_price, ${
        column === 'settings'
          ? 'fingerprint, settings'
          : `settings, fingerprint${column === 'fingerprint' ? '' : `, ${column}`}`
      }) values ($1, 'w', 'PaymentPrice', 'CNY', 'en', 1, ${
        column === 'settings'
          ? `'', $2::jsonb || ${value}`
          : `$2::jsonb, ${column === 'fingerprint' ? value : `'', ${value}`}`
      })`,
      [order().externalOrderNumber, settings()],
    );
  it.each([
    ['settings', `jsonb_build_object('more', '${LARGE}')`],
    ['fingerprint', `'${LARGE}'`],
    ['payer_name', `'${LARGE}'`],
    ['payer_name_key', `'${LARGE}'`],
  ])('of a deposit: %s', async (column, value) => {
    await expect(deposit(column, value)).rejects.toMatchObject(refused);
  });
  it('of a deposit: an amount', async () => {
    const asked = order().externalOrderNumber;
    await expect(
      api.query(
        `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, currency_code, support_language, fingerprint, settings, mtc_amount)
         values ($1, 'w', 'MtcAmount', 'CNY', 'en', '', $2, 1 + 1e-100)`,
        [asked, settings()],
      ),
    ).rejects.toMatchObject(refused);
  });

  it('or cut short, of whom a stamp of ours came back for: no genuine callback of that millisecond is refused for it', async () => {
    const { externalOrderNumber } = await reserved();
    await worker.query(`select engine.begin_attempt($1, 1, 1000, 'key', (extract(epoch from now()) * 1000)::bigint)`, [
      externalOrderNumber,
    ]);
    const reflect = async (of: string) =>
      (
        await api.query<{ reflected: string }>(
          `select a.reflected from (select max(timestamp_ms) as at from engine.own_stamp where key_id = 'key') s,
                  lateral engine.arriving($1, null, 'key', s.at) a`,
          [of],
        )
      ).rows[0]!.reflected;
    for (const of of [LARGE.slice(0, 32_760), '"'.repeat(30_000), LARGE]) await reflect(of).catch(() => undefined);
    expect(await reflect(externalOrderNumber)).toBe('first time');
    expect(await reflect(externalOrderNumber)).toBe('again');
  });

  it('of its placement and its end', async () => {
    const { externalOrderNumber } = await reserved();
    const said = (kind: string, more: object) =>
      worker.query('select engine.end_attempt($1, 1, $2)', [externalOrderNumber, { kind, ...more }]);
    await expect(
      worker.query('select engine.begin_attempt($1, 1, 1000, $3, $2)', [externalOrderNumber, Date.now(), LARGE]),
    ).rejects.toMatchObject(refused);
    await worker.query(`select engine.begin_attempt($1, 1, 1000, 'key', $2)`, [externalOrderNumber, Date.now()]);
    await expect(said('placed', { redirectUrl: LARGE })).rejects.toMatchObject(refused);
    await said('refused', {});
    await expect(
      worker.query(`select engine.deposit_step($1, 'PLACEMENT_REFUSED', $2)`, [externalOrderNumber, LARGE]),
    ).rejects.toMatchObject(refused);
  });

  it('of a message, of what it is counted by, and of its case', async () => {
    const { id } = await message();
    const ask = (sql: string, ...values: unknown[]) =>
      expect(api.query(sql, [id, ...values])).rejects.toMatchObject(refused);
    await ask('select engine.count_attempt($1, $2, 1, 1)', LARGE);
    await ask(`select engine.count_attempt($1, 'key', 2, 1, $2)`, Buffer.from(LARGE));
    await expect(
      worker.query('select engine.give_to_people($1, $2, $3, false, false)', [id, 'RATE', LARGE]),
    ).rejects.toMatchObject(refused);
    await expect(
      worker.query('select engine.give_to_people($1, $2, $3, false, false)', [id, LARGE, '']),
    ).rejects.toMatchObject(refused);
    await owner.query(`begin; set local session_replication_role = replica; delete from engine.seal_demand; commit`);
    const { externalOrderNumber } = await reserved();
    for (const [data, reason] of [
      [{ more: LARGE }, 'SECOND_CODE'],
      [{}, LARGE],
    ] as const)
      await expect(
        api.query(`select engine.receive($1, sha256('x'), $2, '{}', 'other_content', $3, 'key', 3, 1, '', 'key', 1)`, [
          externalOrderNumber,
          data,
          reason,
        ]),
      ).rejects.toMatchObject(refused);
    await owner.query('insert into engine.seal_demand default values');
  });
});
