import { createHash } from 'node:crypto';
import { readData, readEnvelope } from '../../providers/mtpay/callback.ts';
import { SEALED_ROWS, type SealedRow } from '../../providers/sealed-rows.ts';
import { seal } from '../support/seals.ts';
import { afterAll, expect, test } from 'vitest';
import { archiveObjects } from '../../archive/objects.ts';
import type { FindingKind } from '../../audit/report/findings.ts';
import { lookAt, prepareHistories } from '../../audit/tables/look.ts';
import type { Finding } from '../../audit/report/report.ts';
import { createReplayer } from '../../audit/histories/replay.ts';
import { openSession } from '../../audit/tables/session.ts';
import {
  ALONE,
  auditing,
  chainAnew,
  changePayload,
  type Discrepancy,
  expectFound,
  findingsOf as found,
  keepBook,
  rewriteHistory,
} from './book.ts';
import { sealTrust } from '../support/seals.ts';

/** A clean book gives no alarm; each thing that somebody with every right might do to it is found, named and located. */
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

/** What one look finds of what somebody with every right does, and takes back again. */
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

const callbackOf = (n: string) => `(select bound_callback from engine.deposit where external_order_number = '${n}')`;
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

const attemptOf = (n: string) => `engine.placement_attempt where external_order_number = '${n}'`;
const ofDecided = `workflow_id = 'deposit:${deposits.decided}'`;
const credited = `kind = 'deposit.credited' and external_order_number = '${deposits.credited}'`;

/** What an insider may do beside the money, each with one kind and one name. */
const BESIDE: readonly (readonly [what: string, tamper: string, kind: FindingKind, names: string])[] = [
  [
    'a word that another amount was credited',
    `update engine.outgoing set body = body || '{"amount": "999999"}' where ${credited}`,
    'notification_differs',
    '999999',
  ],
  [
    'a word of a credit that never was',
    `insert into engine.outgoing (id, kind, external_order_number, body)
     select 'deposit.credited:777:1', kind, external_order_number, body || '{"postingId": "777", "amount": "999999"}' from engine.outgoing where ${credited}`,
    'notification_differs',
    'notification deposit.credited:777:1',
  ],
  [
    'a word of a kind that nobody tells',
    `insert into engine.outgoing (id, kind, external_order_number, body) values ('x', 'deposit.refunded', '${deposits.credited}', '{}')`,
    'notification_differs',
    'notification x',
  ],
  ['a word taken away', `delete from engine.outgoing where ${credited}`, 'notification_differs', deposits.credited],
  [
    'another decision told',
    `update engine.outgoing set body = body || '{"decision": "credit"}' where kind = 'review.decided' and external_order_number = '${deposits.rejected}'`,
    'notification_differs',
    'review.decided',
  ],
  [
    'a checkout link to another host, on the attempt as well',
    `update engine.deposit set redirect_url = 'https://mtpay.evil.example/pay' where external_order_number = '${deposits.waiting}';
     update engine.placement_attempt set answer = answer || '{"redirectUrl": "https://mtpay.evil.example/pay"}' where external_order_number = '${deposits.waiting}'`,
    'link_differs',
    'https://mtpay.evil.example',
  ],
  [
    'a checkout link to another page of the same host',
    `update engine.deposit set redirect_url = redirect_url || '/other' where external_order_number = '${deposits.waiting}'`,
    'link_differs',
    `deposit:${deposits.waiting}`,
  ],
  [
    'a second key under the name of a person',
    `insert into engine.api_key (name, proof_hash, scopes) values ('alice', sha256('mine'), '{reviews:decide}')`,
    'key_unexplained',
    'of alice',
  ],
  [
    'a key that proves another secret now',
    `update engine.api_key set proof_hash = sha256('mine') where id = (select min(id) from engine.api_key where name = 'bob')`,
    'key_unexplained',
    'of bob',
  ],
  [
    'a key made in the log as well, without its hash',
    `insert into engine.key_log select n + 1, hash, sha256('x'), 'revoked', at, key_id, name, scopes, wallets, created_at, expires_at, fingerprint
       from engine.key_log order by n desc limit 1`,
    'key_unexplained',
    'key log',
  ],
  ['a line taken out of the log of keys', `delete from engine.key_log where n = 1`, 'key_unexplained', 'key log 2'],
  [
    'a step with the key of somebody else',
    `update engine.decision set key_id = (select id from engine.api_key where name = 'bob' limit 1) where operator = 'alice'`,
    'key_unexplained',
    'by alice',
  ],
  [
    'placement attempts taken away',
    `delete from ${attemptOf(deposits.credited)}`,
    'attempt_differs',
    deposits.credited,
  ],
  [
    'another answer of the provider',
    `update engine.placement_attempt set answer = answer || '{"advertisementCode": "AD-OTHER"}' where external_order_number = '${deposits.waiting}'`,
    'attempt_differs',
    deposits.waiting,
  ],
  [
    'an attempt that never was',
    `insert into engine.placement_attempt (external_order_number, n, deadline, outcome) values ('${deposits.credited}', 3, now(), 'not_sent')`,
    'attempt_differs',
    'what was between is gone',
  ],
  ['our own stamps taken away', `delete from engine.own_stamp`, 'attempt_differs', 'no stamp of ours'],
  [
    'attempts of a callback taken away',
    `delete from engine.callback_attempt where callback = ${callbackOf(deposits.credited)}`,
    'callback_unknown',
    'of which 0 are on record',
  ],
  [
    'a callback that came to the case of another',
    `update engine.callback set outcome = 'review:deposit:${deposits.decided}' where id = ${callbackOf(deposits.credited)}`,
    'callback_outcome_differs',
    `callback`,
  ],
  [
    'a payment that is kept as one of another deposit, which people would credit',
    `update engine.callback set deposit = '${deposits.waiting}' where id = ${callbackOf(deposits.doubtful)}`,
    'callback_unknown',
    `is kept as one of deposit ${deposits.waiting}`,
  ],
  [
    'a first payment that is kept as one of no deposit',
    `update engine.callback set deposit = null where id = ${callbackOf(deposits.rejected)}`,
    'callback_unknown',
    'is kept as one of no deposit',
  ],
  [
    'another code beside the fields of a payment, by which it would be parked once more',
    `update engine.callback set transaction_code = 'ATOTHER' where id = ${callbackOf(deposits.doubtful)}`,
    'callback_changed',
    'its order or its code is not that of its fields',
  ],
  [
    'a payment that is said not to have been acknowledged, so that nothing has to come of it',
    `update engine.callback set acked = false, outcome = null where id = ${callbackOf(deposits.rejected)}`,
    'callback_changed',
    'is not acknowledged',
  ],
  [
    'a posting of another provider, so that its code is free once more',
    `update ledger.transaction set provider = 'other' where deposit = '${deposits.credited}'`,
    'posting_differs',
    'is of the provider other',
  ],
  [
    'a case that nobody decides, said to be held by a workflow that runs',
    `update engine.review_case set closed_at = null, decision = null, decided_by = null, held_by = 'deposit:${deposits.waiting}' where workflow_id like 'review:%'`,
    'decision_unrecorded',
    `is held by deposit:${deposits.waiting}`,
  ],
  [
    'an open case of a payment, said to doubt the credit of another',
    `update engine.review_case set doubted = (select posting_id from engine.deposit where external_order_number = '${deposits.credited}'), opened_by = 'alice'
      where workflow_id = 'deposit:${deposits.doubtful}'`,
    'decision_unrecorded',
    'is a deposit that doubts posting',
  ],
  [
    'an open case that is said to have the money of another deposit',
    `update engine.review_case set parked = (select posting_id from engine.deposit where external_order_number = '${deposits.credited}') where workflow_id = 'deposit:${deposits.doubtful}'`,
    'decision_unrecorded',
    `which is by deposit:${deposits.credited}`,
  ],
  [
    'a deposit that its row calls closed, while its workflow runs',
    `update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = '${deposits.waiting}'`,
    'deposit_row_differs',
    `deposit:${deposits.waiting}`,
  ],
  [
    'a deposit that its row calls open, though its workflow has ended',
    `update engine.deposit set closed_at = null where external_order_number = '${deposits.credited}'`,
    'deposit_row_differs',
    'its row is open',
  ],
  [
    'a case that no history gave to people',
    `insert into engine.review_case (workflow_id, callback, reason, detail) values ('deposit:${deposits.waiting}', ${callbackOf(deposits.credited)}, 'LATE', '')`,
    'deposit_unexplained',
    `deposit:${deposits.waiting}`,
  ],
  [
    'an open deposit that its row shows in a final state',
    `update engine.deposit set state = 'REJECTED' where external_order_number = '${deposits.waiting}'`,
    'deposit_row_differs',
    'shown as REJECTED, and not closed',
  ],
  [
    'a posting by the hand of a workflow that holds a case again',
    `update ledger.transaction set workflow_id = workflow_id || ':again:1' where kind = 'release'`,
    'posting_unexplained',
    ':again:1, of which there is no history',
  ],
  [
    'a step that names no key',
    `update engine.decision set key_id = null where ${ofDecided}`,
    'decision_unrecorded',
    'names no key',
  ],
  [
    'a step that has no name of its own',
    `update engine.decision set uid = null where ${ofDecided}`,
    'decision_unrecorded',
    'has no name of its own',
  ],
  [
    'a callback that has no name of its own',
    `update engine.callback set uid = null where id = ${callbackOf(deposits.credited)}`,
    'decision_unrecorded',
    'has no name of its own',
  ],
  [
    'a reason for a confirmation',
    `update engine.decision set reason = 'it is mine' where step = 'confirm' and ${ofDecided}`,
    'decision_unrecorded',
    'it is mine',
  ],
  [
    'other numbers behind an open case',
    `update engine.review_case set detail = 'received 5000 MTC' where workflow_id = 'deposit:${deposits.doubtful}'`,
    'decision_differs',
    'received 4999 MTC, asked 5000',
  ],
  [
    'other numbers behind a case of its own',
    `update engine.review_case set detail = 'all is well' where workflow_id like 'review:%' and opened_by is null`,
    'decision_unrecorded',
    'all is well',
  ],
  [
    'a proposal in an open case',
    `update engine.review_case set proposal = (select max(id) from engine.decision where step = 'propose') where workflow_id = 'deposit:${deposits.doubtful}'`,
    'decision_unrecorded',
    'the case shows proposal',
  ],
  [
    'a proposal in a closed case',
    `update engine.review_case set proposal = (select max(id) from engine.decision where step = 'propose') where workflow_id = 'deposit:${deposits.decided}'`,
    'decision_unrecorded',
    'is shown to wait in',
  ],
  [
    'another price of money in suspense',
    `update ledger.transaction set unit_price = 9 where kind = 'suspense'`,
    'posting_differs',
    'unit price is 9',
  ],
  [
    'another price of a decided credit',
    `update ledger.transaction set unit_price = 9 where kind = 'release'`,
    'posting_differs',
    'before it left 4999',
  ],
  [
    'a word that is said to be delivered',
    `update engine.outgoing set delivered_at = clock_timestamp() where ${credited}`,
    'notification_differs',
    'is said to be delivered',
  ],
  [
    'a word from before it happened',
    `update engine.outgoing set created_at = created_at - interval '1 day' where ${credited}`,
    'notification_differs',
    'before it happened',
  ],
  [
    'another reason on a deposit',
    `update engine.deposit set review_reason = 'LATE' where external_order_number = '${deposits.decided}'`,
    'decision_unrecorded',
    'is for people as AMOUNT_MISMATCH, the deposit says LATE',
  ],
  [
    'a reason on a deposit that no person had',
    `update engine.deposit set review_reason = 'LATE' where external_order_number = '${deposits.credited}'`,
    'decision_unrecorded',
    'is for people as none',
  ],
  [
    'another reason on a message',
    `update engine.callback set review_reason = 'LATE' where receipt <> 'first'`,
    'decision_unrecorded',
    'its callback says LATE',
  ],
  [
    'a word in the provider’s answer that it never says',
    `update engine.placement_attempt set answer = answer || '{"expiresAt": "2030-01-01T00:00:00.000Z"}' where external_order_number = '${deposits.credited}'`,
    'attempt_differs',
    'advertisementCode,expiresAt,kind',
  ],
  [
    'an answer of the provider that is none',
    `update engine.placement_attempt set answer = '"x"' where external_order_number = '${deposits.credited}'`,
    'attempt_differs',
    'and its answer has no words',
  ],
  [
    'a stamp that stands for a content which nobody has',
    `update engine.callback_stamp set content_hash = sha256('mine') where external_order_number = '${deposits.credited}'`,
    'callback_unknown',
    'stands for a content that is not kept',
  ],
  [
    'an attempt that might be sent for a day',
    `update engine.placement_attempt set deadline = deadline + interval '1 day' where external_order_number = '${deposits.credited}'`,
    'times_contradict',
    'might be sent until',
  ],
  [
    'an attempt of a callback that came later',
    `update engine.callback_attempt set at = at + interval '1 hour' where callback = ${callbackOf(deposits.credited)}`,
    'times_contradict',
    'came last',
  ],
  [
    'a callback that came last a day later',
    `update engine.callback set last_at = last_at + interval '1 day' where id = ${callbackOf(deposits.credited)}`,
    'times_contradict',
    'came last',
  ],
  [
    'a workflow that was told of a callback before it came',
    `update engine.callback set raised_at = received_at - interval '1 second' where id = ${callbackOf(deposits.credited)}`,
    'times_contradict',
    'its workflow was told before that',
  ],
  [
    'a decision that was carried out an hour later',
    `update engine.carried set at = at + interval '1 hour' where proposal in (select id from engine.decision where ${ofDecided})`,
    'times_contradict',
    'was carried out',
  ],
  [
    'what a reversal came to, removed',
    `delete from engine.carried where proposal in (select id from engine.decision where workflow_id like '%:reversal:1')`,
    'decision_unrecorded',
    'and no proposal is written down to have come to it',
  ],
  [
    'an order that was given up after a restore which is not on record',
    `update engine.placement_attempt set outcome = 'unknown', answer = '{"kind": "unknown", "cause": "RESTORED"}' where external_order_number = '${deposits.waiting}'`,
    'attempt_differs',
    'and none is on record since',
  ],
];

test.each(BESIDE)('%s is found and named', async (_, tamper, kind, names) => {
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

/** Every message as if it had been stamped, and sealed with that stamp, so much earlier. */
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

const postingOf = (n: string, kind = 'credit') =>
  `(select id from ledger.transaction where workflow_id = 'deposit:${n}' and kind = '${kind}')`;
const rowOf = (n: string) => `(select n from engine.archive where workflow_id = 'deposit:${n}')`;

interface Event {
  readonly upsertWorkflowSearchAttributesEventAttributes?: unknown;
}
const withoutUpsert = (text: string, then: (events: readonly Event[]) => readonly object[]): string => {
  const { events } = JSON.parse(text) as { events: readonly Event[] };
  return JSON.stringify({
    events: then(events.filter((event) => event.upsertWorkflowSearchAttributesEventAttributes === undefined)),
  });
};

const DISCREPANCIES: readonly Discrepancy[] = [
  {
    what: 'a posting removed',
    tamper: `delete from ledger.entry where transaction_id = ${postingOf(deposits.credited)}; delete from ledger.transaction where workflow_id = 'deposit:${deposits.credited}'`,
    kinds: ['posting_missing', 'posting_unsealed', 'balance_differs'],
    names: `deposit:${deposits.credited}`,
  },
  {
    what: 'a posting added',
    tamper: `insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
      select 'deposit:${deposits.waiting}:credit', kind, '${deposits.waiting}', provider, 'ATFORGED', debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, 'deposit:${deposits.waiting}'
        from ledger.transaction where id = ${postingOf(deposits.credited)}`,
    kinds: ['posting_unexplained', 'posting_unsealed', 'credit_without_evidence', 'entries_differ'],
    names: `deposit:${deposits.waiting}`,
  },
  {
    what: 'a credit taken to another wallet by the hand of an open deposit, which says that it has just closed',
    tamper: `select from ledger.reverse('theft:1', ${postingOf(deposits.credited)}, true, 'deposit:${deposits.waiting}', 'alice+bob', 'it is mine');
      select from ledger.release('theft:2', (select max(id) from ledger.transaction), '${deposits.waiting}', 'wallet-evil', 0, 'deposit:${deposits.waiting}', 'alice+bob', 'it is mine');
      update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = '${deposits.waiting}'`,
    kinds: ['posting_unexplained', 'deposit_row_differs'],
    names: '(release, 5000 MTC) is in no step of its history',
  },
  {
    what: 'a posting’s amount changed',
    tamper: `update ledger.transaction set amount = 6000 where id = ${postingOf(deposits.credited)}`,
    kinds: ['posting_differs', 'block_broken', 'entries_differ', 'credit_without_evidence'],
    names: 'amount is 6000',
  },
  {
    what: 'an entry moved between wallets',
    tamper: `update ledger.entry set account_id = (select id from ledger.account where code = 'wallet:wallet-price')
      where transaction_id = ${postingOf(deposits.credited)} and amount < 0`,
    kinds: ['entries_differ', 'balance_differs'],
    names: 'wallet:wallet-price',
  },
  {
    what: 'posting and entry moved to another wallet together',
    tamper: `update ledger.transaction set credit_code = 'wallet:wallet-price' where id = ${postingOf(deposits.credited)};
      update ledger.entry set account_id = (select id from ledger.account where code = 'wallet:wallet-price')
      where transaction_id = ${postingOf(deposits.credited)} and amount < 0`,
    kinds: ['posting_differs', 'block_broken', 'balance_differs'],
    names: 'wallet:wallet-credited',
  },
  {
    what: 'a balance changed',
    tamper: `update ledger.balance set amount = amount - 1 where account_id = (select id from ledger.account where code = 'wallet:wallet-price')`,
    kinds: ['balance_differs'],
    names: 'wallet:wallet-price',
  },
  {
    what: 'a byte of a history changed',
    tamper: `update engine.archive_object o set bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)
      from engine.archive a where a.history_hash = o.hash and a.workflow_id = 'deposit:${deposits.credited}'`,
    kinds: ['history_damaged'],
    names: `deposit:${deposits.credited}`,
  },
  {
    what: 'a history removed',
    tamper: `delete from engine.archive_object o using engine.archive a where a.history_hash = o.hash and a.workflow_id = 'deposit:${deposits.credited}'`,
    kinds: ['history_damaged'],
    names: `deposit:${deposits.credited}`,
  },
  {
    what: 'a time in the archive changed',
    tamper: `update engine.archive set closed_at = closed_at + interval '1 day' where n = ${rowOf(deposits.credited)}`,
    kinds: ['archive_row_changed', 'archive_row_false'],
    names: 'end is',
  },
  {
    what: 'an archive row dropped',
    tamper: `delete from engine.archive where n = 2; update engine.review_case set closed_at = closed_at - interval '1 hour';
      update engine.deposit set closed_at = closed_at - interval '1 hour'`,
    kinds: ['archive_row_missing', 'history_missing'],
    names: 'archive row 3',
  },
  {
    what: 'two archive rows swapped',
    tamper: `update engine.archive set n = 1000 where n = 1; update engine.archive set n = 1 where n = 2; update engine.archive set n = 2 where n = 1000`,
    kinds: ['archive_order_broken', 'archive_row_changed'],
    names: 'archive row 1',
  },
  {
    what: 'a wrong bundle hash, chained anew',
    tamper: async (db) => {
      await db.query(`update engine.archive set bundle_hash = sha256('another') where n = ${rowOf(deposits.credited)}`);
      await chainAnew(db);
    },
    kinds: ['archive_row_false', 'bundle_missing'],
    names: 'bundle is',
  },
  {
    what: 'an amount changed in a history, its hash and the chain made to fit',
    tamper: (db) =>
      rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
        changePayload(text, '"transactionAmount":"5000"', '"transactionAmount":"4000"'),
      ),
    kinds: ['evidence_differs', 'posting_differs', 'decision_differs'],
    names: '4000',
  },
  {
    what: 'a step taken out of a history, its numbers, its hash and the chain made to fit',
    tamper: (db) =>
      rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
        withoutUpsert(text, (events) => events.map((event, i) => ({ ...event, eventId: String(i + 1) }))),
      ),
    kinds: ['replay_differs', 'archive_row_false'],
    names: `deposit:${deposits.credited}`,
  },
  {
    what: 'a step taken out of a history, its numbers left as they were',
    tamper: (db) =>
      rewriteHistory(db, `deposit:${deposits.credited}`, (text) => withoutUpsert(text, (events) => events)),
    kinds: ['not_readable', 'archive_row_false'],
    names: 'calls itself event ',
  },
  {
    what: 'a history without a type of workflow, on which replaying would never end',
    tamper: (db) =>
      rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
        text.replace(',"workflowType":{"name":"deposit"}', ''),
      ),
    kinds: ['not_readable', 'archive_row_false'],
    names: 'event 1 has no workflowType',
  },
  {
    what: 'an acknowledged callback without outcome',
    tamper: `update engine.callback set outcome = null, last_at = last_at - interval '1 hour' where id = ${callbackOf(deposits.credited)}`,
    kinds: ['callback_without_outcome', 'callback_outcome_differs'],
    names: 'callback ',
  },
  {
    what: 'an outcome that is not there',
    tamper: `update engine.callback set outcome = 'posting:999999' where id = ${callbackOf(deposits.credited)}`,
    kinds: ['callback_outcome_differs'],
    names: 'posting:999999',
  },
  {
    what: 'a credit whose callback is gone',
    tamper: `delete from engine.callback where id = ${callbackOf(deposits.credited)}`,
    kinds: ['credit_without_evidence'],
    names: `deposit:${deposits.credited}`,
  },
  {
    what: 'the fields of a callback changed',
    tamper: `update engine.callback set data = data || '{"transactionAmount":"6000"}' where id = ${callbackOf(deposits.credited)}`,
    kinds: ['callback_changed', 'evidence_differs'],
    names: '6000',
  },
  {
    what: 'the seal of a callback taken away',
    tamper: `update engine.callback set seal = null, seal_key = null, sealed_ms = null where id = ${callbackOf(deposits.credited)}`,
    kinds: ['callback_not_sealed'],
    names: 'bears no seal of the API',
  },
  {
    what: 'the seal of another callback',
    tamper: `update engine.callback c set seal = o.seal, seal_key = o.seal_key, sealed_ms = o.sealed_ms
      from engine.callback o where c.id = ${callbackOf(deposits.credited)} and o.id = ${callbackOf(deposits.decided)}`,
    kinds: ['seal_broken'],
    names: 'its seal is over another row',
  },
  {
    what: 'the time at which a sealed callback came',
    tamper: `update engine.callback set received_at = received_at - interval '2 minutes' where id = ${callbackOf(deposits.credited)}`,
    kinds: ['seal_broken'],
    names: 's away from its seal',
  },
  {
    what: 'the bytes of a callback changed',
    tamper: `update engine.callback set raw = convert_to(replace(convert_from(raw, 'UTF8'), '5000', '6000'), 'UTF8') where id = ${callbackOf(deposits.credited)}`,
    kinds: ['callback_changed'],
    names: 'its bytes do not hash',
  },
  {
    what: 'a stamp removed',
    tamper: `delete from engine.callback_stamp where external_order_number = '${deposits.credited}'`,
    kinds: ['callback_unknown'],
    names: 'callback ',
  },
  {
    what: 'a deposit credited twice, the constraint dropped',
    tamper: `drop index ledger.one_automatic_credit;
      insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
      select 'again', kind, deposit, provider, 'ATAGAIN', debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id
        from ledger.transaction where id = ${postingOf(deposits.credited)}`,
    kinds: ['credited_twice', 'posting_unexplained', 'credit_without_evidence'],
    names: '2 automatic credits',
  },
  {
    what: 'a decision by one person',
    tamper: `update engine.decision set operator = 'alice' where workflow_id = 'deposit:${deposits.decided}'`,
    kinds: ['decided_by_one', 'decision_differs'],
    names: 'alice',
  },
  {
    what: 'a decision’s rows removed',
    tamper: `delete from engine.decision where workflow_id = 'deposit:${deposits.decided}' and step = 'confirm'`,
    kinds: ['decision_unrecorded'],
    names: `deposit:${deposits.decided}`,
  },
  {
    what: 'another name on a case',
    tamper: `update engine.review_case set decided_by = 'mallory+eve' where workflow_id = 'deposit:${deposits.decided}'`,
    kinds: ['decision_unrecorded'],
    names: 'mallory+eve',
  },
  {
    what: 'a stale projection',
    tamper: `update engine.deposit set state = 'AWAITING_PAYMENT', posting_id = null where external_order_number = '${deposits.credited}'`,
    kinds: ['deposit_row_differs'],
    names: 'shown as AWAITING_PAYMENT',
  },
  {
    what: 'another wallet in the deposit row',
    tamper: `update engine.deposit set wallet = 'wallet-mine' where external_order_number = '${deposits.credited}'`,
    kinds: ['deposit_row_differs'],
    names: 'wallet-mine',
  },
  {
    what: 'another provider in the deposit row',
    tamper: `update engine.deposit set provider = 'other' where external_order_number = '${deposits.credited}'`,
    kinds: ['deposit_row_differs'],
    names: 'provider is other',
  },
  {
    what: 'a checkout link that leads elsewhere',
    tamper: `update engine.deposit set redirect_url = 'https://evil.example/pay/1' where external_order_number = '${deposits.waiting}'`,
    kinds: ['link_differs'],
    names: 'the checkout link has hash',
  },
  {
    what: 'a frozen setting changed',
    tamper: `update engine.deposit set settings = settings || '{"reviewLimit":"1000000"}' where external_order_number = '${deposits.decided}'`,
    kinds: ['deposit_row_differs'],
    names: 'frozen settings',
  },
  {
    what: 'a limit and an amount that are no numbers',
    tamper: `update engine.deposit set settings = settings || '{"reviewLimit":"much"}' where external_order_number = '${deposits.decided}';
      update engine.callback set data = data || '{"transactionAmount":"many"}' where id = ${callbackOf(deposits.decided)}`,
    kinds: ['deposit_row_differs', 'callback_changed', 'evidence_differs', 'credit_without_evidence'],
    names: 'transactionAmount is many',
  },
  {
    what: 'a deposit row removed',
    tamper: `delete from engine.deposit where external_order_number = '${deposits.rejected}'`,
    kinds: ['deposit_row_differs'],
    names: `deposit:${deposits.rejected}`,
  },
  {
    what: 'a block of the books changed',
    tamper: `update ledger.block set at = at + interval '1 second' where n = 1`,
    kinds: ['block_broken'],
    names: 'block 1',
  },
  {
    what: 'an open deposit without a workflow',
    tamper: `update engine.deposit set external_order_number = 'o-nobody', created_at = created_at - interval '1 hour' where external_order_number = '${deposits.waiting}'`,
    kinds: ['deposit_unexplained', 'history_unexplained'],
    names: 'deposit:o-nobody',
  },
];

test.each(DISCREPANCIES)('$what is found, named and located', async (discrepancy) => {
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

/** Rows as an owner may write them: numbers that the engine never gives, and names of rows that are not there. */
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
  // All of them: the one whose message is not there is no longer passed over.
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

/** Answers that nothing is wrong, in the place of whatever says so of the books. */
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
