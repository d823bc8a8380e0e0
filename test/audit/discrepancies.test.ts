import { createHash } from 'node:crypto';
import { readData, readEnvelope } from '../../providers/mtpay/callback.ts';
import { SEALED_ROWS, type SealedRow } from '../../providers/sealed-rows.ts';
import { seal } from '../support/seals.ts';
import { afterAll, expect, test } from 'vitest';
import { archiveObjects } from '../../archive/objects.ts';
import { lookAt, prepareHistories } from './snapshot.ts';
import type { Finding } from '../../audit/report/report.ts';
import { createReplayer } from '../../audit/histories/replay.ts';
import { openSession } from '../../audit/tables/session.ts';
import {
  ALONE,
  auditing,
  callbackOf,
  chainAnew,
  expectFound,
  findingsOf as found,
  keepBook,
  postingOf,
  rewriteHistory,
} from './book.ts';
import { discrepancies } from './false-books.ts';
import { falseRows } from './false-rows.ts';
import { sealTrust } from '../support/seals.ts';

/** A clean book gives no alarm; each manipulation by a superuser is found, named and located. */
const book = await keepBook();
const { deposits } = book;

test('a clean book gives no false alarm, and says what is in it', async () => {
  const report = await book.audit();
  expect(found(report)).toEqual([]);
  expect(report.unexplained).toBe(0);
  expect(report.counts).toMatchObject({ deposits: 8, openDeposits: 1, decisions: 4, cases: 5 });
  // Six deposits and two cases of their own are closed; two deposits are open.
  expect(report.checks.find(({ id }) => id === 'archive')?.checked).toBe(8);
  expect(report.checks.find(({ id }) => id === 'replay')?.checked).toBe(10);
  expect(report.open.map(({ workflowId }) => workflowId)).toEqual(
    expect.arrayContaining([`deposit:${deposits.waiting}`, `deposit:${deposits.doubtful}`]),
  );
});

test('one deposit is audited alone: its history, and the tables whole', async () => {
  const report = await book.audit(undefined, '--deposit', deposits.twice);
  expect(found(report)).toEqual([]);
  expect(report.checks.find(({ id }) => id === 'archive')?.checked).toBe(2);
  expect(report.counts.deposits).toBe(1);
});

test('a deposit whose history has left Temporal is audited like any other', async () => {
  const handle = book.engine.client.workflow.getHandle(`deposit:${deposits.price}`);
  const { workflowService, options } = book.engine.client;
  await workflowService.deleteWorkflowExecution({
    namespace: options.namespace,
    workflowExecution: { workflowId: handle.workflowId },
  });
  const report = await book.audit(undefined, '--deposit', deposits.price);
  expect(report.unexplained).toBe(0);
  expect(report.checks.find(({ id }) => id === 'replay')?.checked).toBe(1);
});

const session = await openSession(auditing(book.engine.db.url, book.engine.client, book.code).database, null);
const replayer = createReplayer(book.code);
const histories = await prepareHistories({
  session,
  objects: archiveObjects(session, undefined),
  client: book.engine.client,
  dataConverter: {},
  replayer,
});
const { links } = auditing(book.engine.db.url, book.engine.client, book.code);
afterAll(async () => {
  await replayer.close();
  await session.end();
});

/** Returns the findings of one look at a superuser's manipulation, which is then rolled back. */
async function lookAfter(tamper: string, prepared = histories): Promise<readonly Finding[]> {
  const owner = await book.engine.db.owner.connect();
  try {
    await owner.query('begin; set local session_replication_role = replica');
    await owner.query(tamper);
    return await lookAt({ session: owner, histories: prepared, sealTrust: sealTrust(), links: links! });
  } finally {
    await owner.query('rollback');
    owner.release();
  }
}

test('one look at prepared histories says that a clean book is clean', async () => {
  expect(histories).toHaveLength(10);
  expect(await lookAfter('select 1')).toEqual([]);
});

test('a credit in a task of which nothing was recorded is explained by the row that its history was told of, if the judge says so', async () => {
  const id = `deposit:${deposits.credited}`;
  const change = (settings: object) =>
    histories.map(({ facts, findings }) => {
      if (facts.workflowId !== id) return { facts, findings };
      const steps = facts.steps.map((step) => {
        if (step.kind !== 'activity' || step.name !== 'credit') return step;
        const { postingId } = step.result as { readonly postingId: string };
        const { transactionCode } = facts.end!.result as { readonly transactionCode: string };
        const result = { kind: 'settled', state: 'CREDITED', postingId, late: false, transactionCode };
        return { ...step, name: 'settlement', result };
      });
      const input = facts.input as { readonly settings: object };
      return {
        facts: { ...facts, steps, input: { ...input, settings: { ...input.settings, ...settings } } },
        findings,
      };
    });
  expect(await lookAfter('select 1', change({}))).toEqual([]);
  const toAnother = `update ledger.transaction set credit_code = 'wallet:wallet-price' where id = ${postingOf(deposits.credited)}`;
  expect(await lookAfter(toAnother, change({}))).toContainEqual(
    expect.objectContaining({
      kind: 'posting_differs',
      detail: expect.stringContaining('wallet:wallet-price') as string,
    }),
  );
  expect(await lookAfter('select 1', change({ creditCap: '1' }))).toContainEqual(
    expect.objectContaining({
      kind: 'decision_differs',
      where: id,
      detail: expect.stringContaining('the rules say review') as string,
    }),
  );
});

test.each(falseRows(deposits))('%s is found and named', async (_, tamper, kind, names) => {
  const found = (await lookAfter(tamper)).filter((finding) => finding.kind === kind);
  expect(JSON.stringify(found)).toContain(names);
});

test('contents that were only counted, because of their order twenty are kept, are no finding', async () => {
  const counted = `
    update engine.callback set attempts = attempts + 5, last_at = clock_timestamp() where id = ${callbackOf(deposits.credited)};
    insert into engine.callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
    select key_id, timestamp_ms + 1, external_order_number, sha256('counted') from engine.callback_stamp where external_order_number = '${deposits.credited}'`;
  const kept = (many: number) => `
    insert into engine.callback (external_order_number, deposit, content_hash, raw, receipt, acked)
    select external_order_number, deposit, sha256(i::text::bytea), raw, receipt, false from engine.callback cross join generate_series(1, ${many}) i
     where id = ${callbackOf(deposits.credited)}`;
  const about = async (many: number) =>
    (await lookAfter(`${kept(many)}; ${counted}`)).filter(({ detail }) => /are on record|is not kept/.test(detail));
  expect(await about(18)).toHaveLength(2);
  expect(await about(19)).toEqual([]);
});

test('a restore on record is a note, and explains what was lost by it', async () => {
  const url = await book.tampered(`insert into engine.restored default values`);
  const report = await book.audit(url);
  expect(found(report)).toEqual([]);
  expect(report.notes).toContainEqual(
    expect.stringMatching(/^That this database was restored was noted 20\d\d-\S+Z: /),
  );
});

/** SQL that makes the stamp of every message older by so much, and seals it with that stamp. */
async function stampedEarlier(byMs: number): Promise<string> {
  const { rows } = await book.engine.db.owner.query<SealedRow>(`${SEALED_ROWS} where a.key_id is not null`);
  const seals = rows.map((row) => {
    const { signature } = seal({
      receipt: row.receipt,
      externalOrderNumber: row.order,
      contentHash: row.content_hash,
      rawHash: row.raw_hash,
      stamp: { keyId: row.key_id!, timestampMs: Number(row.timestamp_ms) - byMs },
      sealedMs: Number(row.sealed_ms),
    });
    return `update engine.callback set seal = '\\x${signature.toString('hex')}' where id = ${row.id};`;
  });
  return `
    update engine.callback_stamp set timestamp_ms = timestamp_ms - ${byMs};
    update engine.callback_attempt set timestamp_ms = timestamp_ms - ${byMs};
    ${seals.join('\n')}`;
}

test('an authentic payment of one order that was turned to another deposit is found, though all else fits: seal, bytes, hashes and history', async () => {
  const of = deposits.waiting;
  const { rows } = await book.engine.db.owner.query<SealedRow & { readonly raw: Buffer }>(
    `select s.*, k.raw from (${SEALED_ROWS}) s join engine.callback k on k.id = s.id where s.id = ${callbackOf(deposits.credited)}`,
  );
  const row = rows[0]!;
  const raw = Buffer.from(row.raw.toString('utf8').replaceAll(deposits.credited, of));
  const read = readData(readEnvelope(raw));
  const { signature } = seal({
    receipt: row.receipt,
    externalOrderNumber: of,
    contentHash: read.contentHash,
    rawHash: createHash('sha256').update(raw).digest(),
    stamp: { keyId: row.key_id!, timestampMs: Number(row.timestamp_ms) },
    sealedMs: Number(row.sealed_ms),
  });
  const bytea = (bytes: Buffer) => `'\\x${bytes.toString('hex')}'`;
  const findings = await lookAfter(`
    update engine.callback_stamp set external_order_number = '${of}', content_hash = ${bytea(read.contentHash)} where external_order_number = '${deposits.credited}';
    update engine.callback set external_order_number = '${of}', raw = ${bytea(raw)}, content_hash = ${bytea(read.contentHash)},
           data = data || '{"externalOrderNumber": "${of}"}', seal = ${bytea(signature)} where id = ${row.id}`);
  expect(findings).toEqual([
    {
      kind: 'callback_unknown',
      where: `callback ${row.id}`,
      detail: `came for order ${of}, and is kept as one of deposit ${deposits.credited}`,
    },
  ]);
});

test('a book whose old stamps were pruned is clean; without the attempt that says the same it is not', async () => {
  const earlier = await stampedEarlier(100 * 86_400_000);
  const pruned = (also = '') => `${earlier}
    set session_replication_role = origin;
    select engine.prune('7 days', 1000);
    set session_replication_role = replica;
    do $$ begin
      if exists (select from engine.callback_stamp s join engine.deposit d using (external_order_number) where d.closed_at is not null) then
        raise exception 'not pruned'; end if; end $$; ${also}`;
  expect(found(await book.audit(await book.tampered(pruned())))).toEqual([]);
  const lost = `delete from engine.callback_attempt where callback = ${callbackOf(deposits.credited)}`;
  const report = await book.audit(await book.tampered(pruned(lost)));
  expect(found(report).map(({ kind }) => kind)).toContain('callback_unknown');
});

test.each(discrepancies(deposits))('$what is found, named and located', async (discrepancy) => {
  await expectFound(book, discrepancy);
});

test('a tail that was cut off is found by the heads of an earlier report', async () => {
  const { heads } = await book.audit();
  const url = await book.tampered(`delete from engine.archive where n = (select max(n) from engine.archive)`);
  const after = await book.auditWith({ heads, headsFrom: 'the report of yesterday' }, url);
  expect(after.notes).toContain('Both chains were compared with the heads in the report of yesterday.');
  expect(found(after)).toContainEqual(
    expect.objectContaining({ kind: 'chain_cut', where: `archive ${heads.archive!.n}` }),
  );
  expect(found(await book.auditWith({ heads }))).toEqual([]);
});

test('an audit that was cut off goes on where it stopped, and says the same as one that was not', async () => {
  const whole = await book.audit();
  const cutOff = book.auditInParts('cut', (line) => {
    if (line.startsWith('replayed 2 of')) throw new Error('killed');
  });
  await expect(cutOff).rejects.toThrow('killed');
  const told: string[] = [];
  const { audit, ...report } = await book.auditInParts('cut', (line) => told.push(line));
  expect(told[0]).toMatch(/^going on where it stopped: 1 of 4 parts are done$/);
  const { audit: _, ...expected } = whole;
  expect(report).toEqual(expected);
  expect(audit.scope).toEqual(whole.audit.scope);
});

test('rows of before seals are counted in a note and are no finding, unless the settings say that seals are older', async () => {
  const url = await book.tampered(
    `update engine.callback set seal = null, seal_key = null, sealed_ms = null; insert into engine.seal_epoch (callback) select max(id) from engine.callback`,
  );
  const report = await book.audit(url);
  expect(found(report)).toEqual([]);
  const callbacks = report.counts.callbacks;
  expect(report.notes).toContainEqual(
    expect.stringMatching(new RegExp(`^Callbacks without a seal, from before 20\\d\\d-.*Z: ${callbacks}$`)),
  );
  const pinned = await book.auditWith({ sealTrust: { ...sealTrust(), epoch: '0' } }, url);
  expect(found(pinned)).toContainEqual(expect.objectContaining({ kind: 'seal_broken', where: 'seal epoch' }));
  expect(found(pinned).filter(({ kind }) => kind === 'callback_not_sealed')).toHaveLength(callbacks);
});

test('a key that somebody has registered for himself is told', async () => {
  const pads = `sha512('a'), sha512('b')`;
  const strange = await book.tampered(
    `insert into engine.seal_mac (key, inner_pad, outer_pad) values ('00112233aabbccdd', ${pads})`,
  );
  expect(found(await book.audit(strange))).toContainEqual(
    expect.objectContaining({ kind: 'seal_broken', where: 'seal key 00112233aabbccdd' }),
  );
});

test('steps of people are asked for signatures where the settings say so, and a false one is told at any rate', async () => {
  const steps = (report: Parameters<typeof found>[0]) => found(report).filter(({ kind }) => kind === 'step_not_signed');
  const trust = { required: true, keys: new Map() };
  const required = steps(await book.auditWith({ signatures: { trust, after: '0' } }));
  // A proposal and a confirmation of each of the four decisions.
  expect(required).toHaveLength(8);
  expect(required[0]).toMatchObject({
    where: expect.stringMatching(/^decision \d+$/),
    detail: 'alice has not signed it',
  });
  const after = required.at(-1)!.where.replace('decision ', '');
  expect(steps(await book.auditWith({ signatures: { trust, after } }))).toEqual([]);
  const url = await book.tampered(
    `update engine.decision set signature = sha512('x'), signer_key = 'k', nonce = substr(sha256('x'), 1, 16) where id = ${after}`,
  );
  expect(steps(await book.audit(url))).toMatchObject([
    { where: `decision ${after}`, detail: expect.stringContaining('over this step') },
  ]);
});

/** Rows that an owner may write: numbers that the engine never gives, and ids of rows that do not exist. */
test('what stands below the lowest number is looked at, and so is a step whose message or case is another', async () => {
  const run = '5f0c1f6e-0000-4000-8000-000000000000';
  const tabs = `repeat(chr(9), ${200 - 'https:/pay.example'.length})`;
  const url = await book.tampered(async (db) => {
    await rewriteHistory(db, `deposit:${deposits.price}`, (text) => text.replace('{', '{"events":[],'));
    await db.query(`
      insert into engine.callback overriding system value select (jsonb_populate_record(c, jsonb_build_object('id', -1, 'uid', gen_random_uuid(), 'seal', null, 'seal_key', null,
        'sealed_ms', null, 'transaction_code', null, 'data', null, 'deposit', null, 'outcome', null, 'receipt', 'unknown_order', 'review_reason', 'UNKNOWN_ORDER', 'acked', false, 'external_order_number', 'nobody'))).*
        from engine.callback c order by c.id limit 1;
      insert into engine.decision overriding system value select (jsonb_populate_record(d, jsonb_build_object('id', -1, 'uid', gen_random_uuid()))).*
        from engine.decision d order by d.id limit 1;
      update engine.decision set callback = 999999 where id = (select max(id) from engine.decision);
      alter table engine.archive drop constraint archive_n_check;
      insert into engine.archive select (jsonb_populate_record(a, jsonb_build_object('n', 0, 'run_id', '${run}', 'hash', sha256('h')::text, 'prev', sha256('p')::text))).* from engine.archive a where n = 1;
      alter table engine.archive add constraint archive_n_check check (n > 0) not valid;
      update pg_constraint set convalidated = true where conname = 'archive_n_check';
      update engine.deposit set redirect_url = 'https:/' || ${tabs} || 'pay.example.evil.example/pay' where external_order_number = '${deposits.waiting}'`);
  });
  const trust = { required: true, keys: new Map() };
  const findings = found(await book.auditWith({ signatures: { trust, after: '0' } }, url, ...ALONE));
  const last = findings.findLast(({ kind, where }) => kind === 'step_not_signed' && where !== 'decision -1')!.where;
  for (const [kind, where, detail] of [
    ['callback_not_sealed', 'callback -1', 'bears no seal'],
    ['step_not_signed', 'decision -1', 'has not signed it'],
    ['step_not_signed', last, 'has not signed it'],
    ['decision_unrecorded', last, 'is about callback 999999, its case about callback'],
    ['archive_row_missing', 'archive row 0', 'follows row 0'],
    [
      'history_damaged',
      expect.stringMatching(/^archive row /),
      `deposit:${deposits.price}: its text is not in the form`,
    ],
    ['link_differs', `deposit:${deposits.waiting}`, 'which no setting allows'],
  ] as const)
    expect(findings).toContainEqual({ kind, where, detail: expect.stringContaining(detail) });
  // All of them: a step without its message is no longer skipped.
  expect(findings.filter(({ kind }) => kind === 'step_not_signed')).toHaveLength(9);
});

test('of one deposit the case that paid it by another’s message is compared, whoever held it last', async () => {
  const url = await book.tampered(`
    update ledger.transaction set deposit = '${deposits.waiting}' where workflow_id like 'review:%' and deposit = '${deposits.twice}' and kind = 'release';
    update engine.review_case set held_by = workflow_id || ':again:1' where workflow_id in (select workflow_id from ledger.transaction where deposit = '${deposits.waiting}');
    update engine.archive a set workflow_id = v.held_by from engine.review_case v where v.workflow_id = a.workflow_id and v.held_by is not null`);
  const report = await book.audit(url, '--deposit', deposits.waiting, ...ALONE);
  expect(report.checks.find(({ id }) => id === 'archive')?.checked).toBe(1);
});

test('what was archived since is audited, whatever end whoever archived it wrote down', async () => {
  const since = new Date(Date.now() - 3_600_000).toISOString();
  const url = await book.tampered(async (db) => {
    await db.query(
      `update engine.archive set closed_at = '2001-01-01Z' where workflow_id = 'deposit:${deposits.credited}'`,
    );
    await chainAnew(db);
  });
  expect(found(await book.audit(url, '--since', since, ...ALONE))).toContainEqual(
    expect.objectContaining({ kind: 'archive_row_false', detail: expect.stringMatching(/^end is /) }),
  );
});

/** Replaces the functions and views that check the books: each reports that nothing is wrong. */
const QUIET = `
  create or replace function ledger.audit() returns table (fault text, found bigint) language sql stable set search_path = ledger, pg_temp as
    $$ select 'broken block', 0::bigint $$;
  create or replace function ledger.verify_chain() returns table (n bigint, ok boolean) language sql stable set search_path = ledger, pg_temp as
    $$ select b.n, true from block b $$;
  create or replace function ledger.line(t ledger.transaction) returns text language sql stable as $$ select '' $$;
  create or replace view ledger.trial_balance as
    select a.code, a.kind, a.asset, 0::numeric as kept, 0::numeric as summed, 0::bigint as kept_entries, 0::bigint as entries from ledger.account a;
  create or replace view ledger.suspense_open as
    select t.id, t.provider, t.deposit, t.provider_code, t.amount::numeric, t.posted_at, t.workflow_id from ledger.transaction t where false;`;

test('the database is not asked whether it is in order: its own functions say yes, and a balance that was raised is found', async () => {
  const raise = `update ledger.balance set amount = amount - 1000000 where account_id = (select id from ledger.account where code = 'wallet:wallet-credited')`;
  const findings = await expectFound(book, {
    what: 'a balance raised by 1,000,000, and functions that keep it to themselves',
    tamper: `${QUIET} ${raise}`,
    kinds: ['catalogue_differs', 'balance_differs'],
    names: 'account wallet:wallet-credited',
  });
  const where = findings.filter(({ kind }) => kind === 'catalogue_differs').map((one) => one.where);
  expect(where).toEqual([
    'function ledger.audit()',
    'function ledger.line(t ledger.transaction)',
    'function ledger.verify_chain()',
    'view ledger.suspense_open',
    'view ledger.trial_balance',
  ]);
});

test('it needs no function and no view of the database: without any it finds that they are gone, and nothing else', async () => {
  const url = await book.tampered(`do $$ declare it text; begin
    for it in select case c.relkind when 'v' then 'view ' else 'table ' end || c.oid::regclass from pg_class c
               where c.relkind = 'v' and c.relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace) loop
      execute 'drop ' || it || ' cascade'; end loop;
    while exists (select from pg_proc where pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace)) loop
      select p.oid::regprocedure into it from pg_proc p where p.pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace) limit 1;
      execute 'drop function ' || it || ' cascade'; end loop; end $$`);
  const findings = found(await book.audit(url));
  expect([...new Set(findings.map(({ kind }) => kind))]).toEqual(['catalogue_differs']);
  expect(findings.length).toBeGreaterThan(150);
  expect((await book.audit(url, '--deposit', deposits.twice)).unexplained).toBe(findings.length);
});
