import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { loadSignatureConfig } from '../../../config/settings/audit.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { findUnsigned } from '../../../database/queries/signed-steps.ts';
import { createSigner } from '../../../commands/signing.ts';
import { runReviews, type ReviewOptions, type StepBody } from '../../../commands/reviews-terminal.ts';
import { arrives, opened, operator, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { withApi } from '../../api/parts.ts';
import { startEngine } from '../../support/engine.ts';
import { byHand } from '../../support/database.ts';
import { startOf } from '../../support/programs.ts';

/**
 * Every step is signed on the operator's own device: keys alone, a stolen session or a replayed step decide nothing.
 */
const folder = await mkdtemp(join(tmpdir(), 'operators-'));
afterAll(() => rm(folder, { recursive: true }));

/** `npm run sign`, as a person runs it. */
const run = promisify(execFile);
const sign = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  run(process.execPath, [...startOf('commands/sign.ts'), ...args], { env: { ...process.env, ...env } });
const fileOf = (name: string) => join(folder, `${name}.pem`);
const [alicePublic, bobPublic] = await Promise.all(
  ['alice', 'bob'].map(async (name) => (await sign(['--new-key', fileOf(name)])).stdout.trim()),
);
const env = { DECISION_SIGNATURES: 'required', OPERATOR_PUBLIC_KEYS: `alice=${alicePublic},bob=${bobPublic}` };

const engine = await startEngine({ env });
const keys: Record<string, string> = {};
for (const name of ['alice', 'bob'])
  keys[name] = await createApiKey(engine.db.owner, { name, scopes: ['reviews:decide', 'deposits:read'] });
/** An operator without a device here. */
const carol = await operator(engine, 'carol');

let wallets = 0;
async function mismatched(amount = '4999') {
  const order = await placed(engine, { wallet: `wallet-signed-${(wallets += 1)}` });
  await arrives(engine, order, { transactionAmount: amount });
  const { id } = await opened(carol, order, 'AMOUNT_MISMATCH', 'nothing');
  return { order, id: id as string };
}

/** A device's request: the body with its signature, not sent. */
async function signedBody(name: string, words: string, options: ReviewOptions = {}, device = name): Promise<StepBody> {
  let body: StepBody = {};
  const signer = createSigner(name, { pem: await readFile(fileOf(device), 'utf8'), agrees: async () => true });
  const to = { API_URL: engine.api.apiUrl, API_KEY: keys[name]! };
  const quiet = { out: () => undefined, error: (text: string) => expect(text).toBe('') };
  await runReviews(words.split(' '), options, to, quiet, async (about) => {
    body = (await signer(about))!;
    return null;
  });
  return body;
}
const post = (name: string, id: string, step: string, body: object) =>
  engine.call('POST', `/v1/reviews/${encodeURIComponent(id)}/${step}`, body, { key: keys[name]! });
const credit = { reason: 'as the statement says' };

test('two people decide with `npm run sign`; what each signs is shown first, and every step verifies afterwards', async () => {
  const { order, id } = await mismatched();
  expect((await stat(fileOf('alice'))).mode & 0o777).toBe(0o600);
  await expect(sign(['--new-key', fileOf('alice')])).rejects.toMatchObject({ code: 2 });
  const terminal = (name: string) => ({ API_URL: engine.api.apiUrl, API_KEY: keys[name]! });
  const as = (name: string) => ['--key', fileOf(name), '--name', name, '--yes'];
  const proposed = await sign([...as('alice'), 'propose', id, 'credit', '--reason', ' seen '], terminal('alice'));
  expect(proposed.stderr).toContain(`wallet   ${order.wallet}`);
  expect(proposed.stderr).toContain('amount   4999 MTC');
  const number = /proposal +(\d+): credit, by alice/.exec(proposed.stdout)![1]!;
  const confirmed = await sign([...as('bob'), 'confirm', id, number], terminal('bob'));
  expect(confirmed.stdout).toContain('credit by alice+bob');
  expect(await walletBalance(engine, order.wallet)).toBe('4999');
  for (const { stdout, stderr } of [proposed, confirmed]) expect(stdout + stderr).not.toContain('PRIVATE');
  const { trust, after } = loadSignatureConfig(env);
  expect(await findUnsigned(engine.db.owner, trust, after, 2)).toEqual([]);
  // Detects a change by a superuser of the table.
  await byHand(engine.db.owner, `update engine.decision set reason = 'another' where id = $1`, [number]);
  expect((await findUnsigned(engine.db.owner, trust, after, 2)).map((found) => found.id)).toContain(number);
  await byHand(engine.db.owner, `update engine.decision set reason = 'seen' where id = $1`, [number]);
  expect(await findUnsigned(engine.db.owner, trust, after, 2)).toEqual([]);
});

describe('refused, and nothing is written', () => {
  const steps = async (id: string) => ((await carol.case(id)) as { steps: unknown[] }).steps;

  test('a stolen session: the key of an operator without his device, or with another’s', async () => {
    const { id } = await mismatched();
    expectRefusal(await post('alice', id, 'propose', { decision: 'credit', ...credit }), 409, 'signature_required');
    const another = await signedBody('alice', `propose ${id} credit`, credit, 'bob');
    expectRefusal(await post('alice', id, 'propose', another), 409, 'signature_wrong');
    const bobs = await signedBody('bob', `propose ${id} credit`, credit);
    expectRefusal(await post('alice', id, 'propose', bobs), 409, 'signature_wrong');
    expectRefusal(await carol.propose(id, { decision: 'reject', reason: 'not ours' }), 409, 'signature_required');
    const { signature: _, ...half } = bobs;
    expectRefusal(await post('bob', id, 'propose', half), 409, 'signature_required');
    expect(await steps(id)).toEqual([]);
  });

  test('a signature for another decision, another case, or a case of another amount', async () => {
    const [one, other, more] = [await mismatched(), await mismatched(), await mismatched('4998')];
    const signed = await signedBody('alice', `propose ${one.id} reject`, credit);
    expectRefusal(await post('alice', one.id, 'propose', { ...signed, decision: 'credit' }), 409, 'signature_wrong');
    expectRefusal(await post('alice', one.id, 'propose', { ...signed, reason: 'because' }), 409, 'signature_wrong');
    for (const { id } of [other, more])
      expectRefusal(await post('alice', id, 'propose', signed), 409, 'signature_wrong');
    for (const { id } of [one, other, more]) expect(await steps(id)).toEqual([]);
  });

  test('a step sent again, and a confirmation of another proposal', async () => {
    const { id } = await mismatched();
    const signed = await signedBody('alice', `propose ${id} credit`, credit);
    const first = await post('alice', id, 'propose', signed);
    expect(first.status, first.text).toBe(200);
    const confirmation = await signedBody('bob', `confirm ${id} ${first.body.proposal.id}`);
    const withdrawal = await signedBody('bob', `withdraw ${id} ${first.body.proposal.id}`, { reason: 'thought again' });
    const withdrawn = await post('bob', id, 'withdraw', withdrawal);
    expect(withdrawn.status, withdrawn.text).toBe(200);
    expectRefusal(await post('alice', id, 'propose', signed), 409, 'signature_used');
    const again = await post('alice', id, 'propose', await signedBody('alice', `propose ${id} credit`, credit));
    const { id: proposal } = again.body.proposal;
    expectRefusal(await post('bob', id, 'confirm', { ...confirmation, proposal }), 409, 'signature_wrong');
    expect(await steps(id)).toHaveLength(3);
  });
});

test('two keys together move nothing past the API: the worker asks for both signatures', async () => {
  const { order, id } = await mismatched();
  // A compromised API, or one configured to require no signatures.
  await withApi(engine, { env: { DECISION_SIGNATURES: 'off' } }, async () => {
    const proposed = await post('alice', id, 'propose', { decision: 'credit', ...credit });
    expect(proposed.status, proposed.text).toBe(200);
    const confirmed = await post('bob', id, 'confirm', { proposal: proposed.body.proposal.id });
    expectRefusal(confirmed, 409, 'unproven');
  });
  expect(await walletBalance(engine, order.wallet)).toBe('0');
  expect(await carol.case(id)).toMatchObject({ state: 'open', proposal: null });
  const { trust, after } = loadSignatureConfig(env);
  const unsigned = await findUnsigned(engine.db.owner, trust, after, 500);
  expect(unsigned.map(({ fault }) => fault)).toEqual(['alice has not signed it', 'bob has not signed it']);
  expect(await findUnsigned(engine.db.owner, { ...trust, required: false }, after, 500)).toEqual([]);
  expect(await findUnsigned(engine.db.owner, trust, unsigned.at(-1)!.id, 500)).toEqual([]);
});

test('where none is required, a signed step is verified all the same, and beside it steps without one are taken', async () => {
  const { order, id } = await mismatched();
  const signed = await signedBody('alice', `propose ${id} reject`, credit);
  await withApi(engine, { env: { DECISION_SIGNATURES: 'off' } }, async () => {
    expectRefusal(await post('alice', id, 'propose', { ...signed, decision: 'credit' }), 409, 'signature_wrong');
    const proposed = await post('alice', id, 'propose', signed);
    expect(proposed.status, proposed.text).toBe(200);
    const confirmed = await post('bob', id, 'confirm', { proposal: proposed.body.proposal.id });
    expectRefusal(confirmed, 409, 'unproven');
  });
  expect(await walletBalance(engine, order.wallet)).toBe('0');
});
