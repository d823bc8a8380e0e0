import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { archiveObjects } from '../../../archive/objects.ts';
import { sha256 } from '../../../archive/canonical-history.ts';
import { audit } from '../../../audit/run/coordinator.ts';
import { parseCommand } from '../../../audit/audit-arguments.ts';
import { sealKey } from '../../../config/keys/inbox-seal.ts';
import { Secret } from '../../../config/keys/secret.ts';
import type { Disposition } from '../../../database/queries/callbacks.ts';
import { NO_MAC, registerSealKey } from '../../../database/queries/seal-macs.ts';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { auditing, findingsOf } from '../../audit/book.ts';
import { arrives, bookedFor, decideTogether, opened, operator, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal, inbox, memoryLog } from '../../api/evidence.ts';
import { withApi } from '../../api/parts.ts';
import { paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { required } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { bindCallback, insertCallback } from '../../support/messages/inbox.ts';
import { insertDecision } from '../../support/operators.ts';
import { testSealKey } from '../../support/seals.ts';
import { until } from '../../support/until.ts';

/**
 * An attacker who may write to the database writes a payment of his own into the inbox. Relay, worker and audit are
 * real.
 */
const engine = await startEngine({ relay: { everyMs: 50, freshMs: 50, againMs: 500, unstartedMs: 30_000 } });
const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
const login = new pg.Client({ connectionString: engine.db.urlFor('app_api') });
await login.connect();
afterAll(() => login.end());

const honest = await placed(engine, { wallet: 'wallet-honest' });
const genuine = await arrives(engine, honest);
await engine.untilState(honest.externalOrderNumber, 'CREDITED');

type Taken = 'no seal' | 'the seal of a genuine row' | 'a seal of his own';

/**
 * Uses all rights of the API's login, and the owner: writes a genuine row's bytes with another order, code and amounts.
 * Returns the row.
 */
async function forge(evil: Order, taken: Taken, change: Partial<CallbackData> = {}): Promise<string> {
  const n = evil.externalOrderNumber;
  const { rows } = await login.query<{ raw: Buffer; data: CallbackData; seal: Buffer; key: string; ms: string }>(
    'select raw, data, seal, seal_key as key, sealed_ms as ms from engine.callback where external_order_number = $1',
    [honest.externalOrderNumber],
  );
  const { raw, seal, key, ms, ...from } = rows[0]!;
  const code = `AT${n.replaceAll(/[^A-Za-z0-9]/g, '')}`;
  const data = { ...from.data, externalOrderNumber: n, transactionCode: code, ...change };
  const bytes = raw.toString().replace(honest.externalOrderNumber, n).replace(genuine.transactionCode, code);
  const seals = {
    'the seal of a genuine row': [seal, key, ms],
    'a seal of his own': [Buffer.alloc(64, 7), key, Date.now()],
  };
  const content = { externalOrderNumber: n, contentHash: contentHash(data), data, raw: bytes };
  if (taken !== 'no seal') return receive({ ...content, receipt: 'first', reviewReason: null }, seals[taken]);
  // No function accepts a row without a seal, so the owner has to insert it.
  const first = { deposit: n, receipt: 'first', reviewReason: null, acked: true, seal: null } as const;
  const stamp = { keyId: 'forged', timestampMs: Date.now() };
  const { id } = await insertCallback(engine.db.owner, { ...content, ...first, raw: Buffer.from(bytes) }, stamp);
  await bindCallback(engine.db.owner, n, id);
  return id;
}

/** The API login's one way into the inbox, with this seal. Returns the row. */
async function receive(
  row: { externalOrderNumber: string; contentHash: Buffer; data: CallbackData | null; raw: string } & Disposition,
  seal: readonly unknown[],
): Promise<string> {
  const { rows } = await login.query<{ id: string }>(
    `select id from engine.receive($1, $2, $3, $4, $5, $6, 'forged', $7, 1, $8, $9, $10)`,
    [row.externalOrderNumber, row.contentHash, row.data, row.raw, row.receipt, row.reviewReason, Date.now(), ...seal],
  );
  return rows[0]!.id;
}

const out = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
afterAll(() => rm(out, { recursive: true, force: true }));
const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
async function audited() {
  await archiveObjects(engine.db.poolFor('app_worker'), undefined).put(sha256(code), 'bundle', code);
  const command = { ...parseCommand([]), out, fresh: true };
  return findingsOf((await audit(auditing(engine.db.url, engine.client, code), command)).report);
}

test('what the API’s login mints is credited by nobody: people have it, and the audit names the row', async () => {
  expect((await audited()).filter(({ kind }) => /seal/.test(kind))).toEqual([]);
  const minted: [Taken, string, string][] = [];
  for (const taken of ['no seal', 'the seal of a genuine row', 'a seal of his own'] as const) {
    const evil = await placed(engine, { wallet: 'wallet-evil' });
    minted.push([taken, evil.externalOrderNumber, await forge(evil, taken)]);
  }
  for (const [, n] of minted) await engine.untilState(n, 'IN_REVIEW');
  expect(await walletBalance(engine, 'wallet-evil')).toBe('0');
  for (const [, n] of minted) {
    expect(await bookedFor(engine, `AT${n.replaceAll(/[^A-Za-z0-9]/g, '')}`)).toEqual([]);
    expect((await engine.deposit(n)).review).toMatchObject({ reason: 'SEAL_BROKEN' });
    const found = await alice.case(`deposit:${n}`);
    expect(found).toMatchObject({ reason: 'SEAL_BROKEN', sealed: false, standing: 'nothing', allowed: ['reject'] });
  }
  expect(await alice.case(`deposit:${minted[0]![1]}`)).toMatchObject({ transactionAmount: '5000' });

  const found = await audited();
  for (const [taken, , id] of minted) {
    const kind = taken === 'no seal' ? 'callback_not_sealed' : 'seal_broken';
    expect(found).toContainEqual(expect.objectContaining({ kind, where: `callback ${id}` }));
  }
});

test('people cannot credit it as it stands, in whatever way it is asked for, and can reject it', async () => {
  const evil = await placed(engine, { wallet: 'wallet-evil' });
  const n = evil.externalOrderNumber;
  await forge(evil, 'no seal');
  await engine.untilState(n, 'IN_REVIEW');
  const id = `deposit:${n}`;
  expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'looks fine' }), 409, 'decision_not_allowed');
  // Steps that are written past the API, with the operators' own keys, are refused where the money would move.
  const body = { workflowId: id, decision: 'credit', reason: 'looks fine', keep: false, toDeposit: null } as const;
  const { id: proposal } = await insertDecision(login, { ...body, step: 'propose', operator: 'alice' });
  const proposed = {
    decisionId: proposal,
    operator: 'alice',
    decision: 'credit',
    reason: 'looks fine',
    keep: false,
    toDeposit: null,
  };
  const handle = engine.client.workflow.getHandle(id);
  await handle.executeUpdate('propose', { args: [proposed] });
  const confirm = { workflowId: id, step: 'confirm', proposal, reason: null } as const;
  const { id: confirmation } = await insertDecision(login, { ...confirm, operator: 'bob' });
  const confirmed = handle.executeUpdate('confirm', {
    args: [{ decisionId: confirmation, proposalId: proposal, operator: 'bob' }],
  });
  await confirmed.catch(() => undefined);
  const steps = await until('the proposal to be refused', async () => {
    const { steps: all } = await alice.case(id);
    return all.some((one: { outcome: string }) => one.outcome === 'refused') && all;
  });
  expect(steps[0]).toMatchObject({ outcome: 'refused', refusal: 'not_possible' });
  expect(await decideTogether(alice, bob, id, { decision: 'reject' })).toMatchObject({ state: 'closed' });
  await engine.untilState(n, 'REJECTED');
  expect(await walletBalance(engine, 'wallet-evil')).toBe('0');
});

test('what is forged for people is not parked, and not credited by what two of them state either', async () => {
  const order = await placed(engine, { wallet: 'wallet-evil' });
  const n = order.externalOrderNumber;
  const content = { externalOrderNumber: n, raw: '{}' };
  const forged = [Buffer.alloc(64, 7), 'forged', Date.now()];
  const data = { ...genuine, externalOrderNumber: n, transactionCode: 'ATMINTED' };
  const minted = { receipt: 'other_content', reviewReason: 'SECOND_CODE' } as const;
  await receive({ ...content, ...minted, data, contentHash: contentHash(data) }, forged);
  const unread = { receipt: 'unreadable', reviewReason: 'UNREADABLE' } as const;
  await receive({ ...content, ...unread, data: null, contentHash: Buffer.alloc(32, 1) }, forged);
  const readable = await opened(alice, order, 'SECOND_CODE', 'nothing');
  const unreadable = await opened(alice, order, 'UNREADABLE', 'unreadable');
  for (const found of [readable, unreadable])
    expect(found).toMatchObject({ sealed: false, allowed: ['reject'], standing: expect.not.stringMatching('parked') });
  const facts = { transactionCode: 'ATSTATED', amount: '5000', currencyCode: 'CNY', paymentPrice: '36000' };
  const stated = { decision: 'credit', reason: 'stands in the statement', facts };
  expectRefusal(await alice.propose(unreadable.id, stated), 409, 'decision_not_allowed');
  for (const { id } of [readable, unreadable])
    expect(await decideTogether(alice, bob, id, { decision: 'reject' })).toMatchObject({ state: 'closed' });
  // A case parks its money before it accepts a step.
  expect(await bookedFor(engine, 'ATMINTED')).toEqual([]);
});

test('a genuine payment that people hold says that it is sealed, and can be credited', async () => {
  const order = await placed(engine, { wallet: 'wallet-honest' });
  await arrives(engine, order, { paymentPrice: 36001, transactionAmount: '4999' });
  const { id, sealed, allowed } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  expect({ sealed, allowed }).toEqual({ sealed: true, allowed: ['credit', 'reject'] });
  expect(await decideTogether(alice, bob, id, { decision: 'credit' })).toMatchObject({ state: 'closed' });
});

test('the key of the seals is not registered and another is: nothing is taken, everybody hears of it, and the provider comes again', async () => {
  const order = await placed(engine, { wallet: 'wallet-late' });
  const { log, lines } = memoryLog();
  await registerSealKey(engine.db.owner, sealKey(new Secret(randomBytes(32))));
  await withApi(engine, { log }, async () => {
    const arriving = () =>
      engine.callback(callbackAddress(engine, order.externalOrderNumber), callbackBody(engine, paid(order)));
    expect((await arriving()).status).toBe(503);
    expect(await inbox(engine, order.externalOrderNumber)).toEqual([]);
    const alarms = lines.map((line) => JSON.parse(line) as { alarm?: string; deposit?: string; key?: string });
    expect(alarms.filter(({ alarm }) => alarm === 'seal_key_not_registered')).toMatchObject([
      { key: testSealKey.id },
      { deposit: order.externalOrderNumber },
    ]);
    await registerSealKey(engine.db.owner, testSealKey);
    expect((await arriving()).status).toBe(200);
  });
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  // The database now refuses the writes that the first test made with the same login.
  const evil = await placed(engine, { wallet: 'wallet-evil' });
  await expect(forge(evil, 'a seal of his own')).rejects.toMatchObject({ code: NO_MAC });
});
