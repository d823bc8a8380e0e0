import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadSignatureConfig } from '../../config/settings/audit.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { newOperatorKey, parseOperatorKeys, operatorKeyOf, signStep } from '../../config/keys/operator-keys.ts';
import type { SignedStep } from '../../domain/signed-step.ts';

const [alice, bob] = [newOperatorKey(), newOperatorKey()];
const step: SignedStep = {
  step: 'confirm',
  case: 'review:12-5f0c9a3e',
  contentHash: 'ab'.repeat(32),
  amount: '5000',
  proposed: {
    operator: 'bob',
    decision: 'credit',
    reason: 'seen',
    keep: false,
    toDeposit: null,
    wallet: 'wallet-1',
    beside: null,
    onlyOrdered: false,
  },
  proposalSignature: null,
  reason: null,
  facts: null,
  nonce: 'AAAAAAAAAAAAAAAAAAAAAA',
};
const { keys } = parseOperatorKeys(`alice=${alice.publicKey}, bob=${bob.publicKey},bob=${newOperatorKey().publicKey}`);

describe('a signature', () => {
  const signature = signStep(alice.privateKey, step);
  it('is its operator’s over its step', () => {
    expect(operatorKeyOf(keys, 'alice', step, signature)).toMatch(/^[0-9a-f]{16}$/);
    expect(operatorKeyOf(keys, 'bob', step, signature)).toBeNull();
    expect(operatorKeyOf(keys, 'carol', step, signature)).toBeNull();
    expect(keys.get('bob')).toHaveLength(2);
  });

  const facts = { transactionCode: 'A', amount: '1', currencyCode: 'CNY', paymentPrice: '1', statementLine: null };
  const others: Readonly<Record<string, Partial<SignedStep>>> = {
    step: { step: 'withdraw' },
    case: { case: 'review:12-5f0c9a3f' },
    content: { contentHash: 'ac'.repeat(32) },
    amount: { amount: '50000' },
    'an amount that cannot be read': { amount: null },
    decision: { proposed: { ...step.proposed, decision: 'reject' } },
    keep: { proposed: { ...step.proposed, keep: true } },
    deposit: { proposed: { ...step.proposed, toDeposit: 'order-1' } },
    wallet: { proposed: { ...step.proposed, wallet: 'wallet-2' } },
    posting: { proposed: { ...step.proposed, beside: '17' } },
    part: { proposed: { ...step.proposed, onlyOrdered: true } },
    proposer: { proposed: { ...step.proposed, operator: 'carol' } },
    reason: { proposed: { ...step.proposed, reason: 'seen.' } },
    proposal: { proposalSignature: 'x' },
    withdrawal: { reason: 'seen' },
    facts: { facts },
    nonce: { nonce: 'BAAAAAAAAAAAAAAAAAAAAA' },
  };
  it.each(Object.entries(others))('is none over another %s', (_, other) => {
    expect(operatorKeyOf(keys, 'alice', { ...step, ...other }, signature)).toBeNull();
  });

  it('needs an Ed25519 key, and what is thrown shows nothing of the file', () => {
    expect(() => signStep('-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n', step)).toThrow(/^the file holds no private key$/);
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const pem = other.export({ format: 'pem', type: 'pkcs8' }) as string;
    expect(() => signStep(pem, step)).toThrow('no Ed25519 key');
  });
});

test.each([
  ['alice', 'expected NAME=KEY'],
  [`Alice=${alice.publicKey}`, 'expected NAME=KEY'],
  [`alice=${alice.publicKey}x`, 'expected NAME=KEY'],
  [`alice=${alice.publicKey},bob=${alice.publicKey}`, 'alice and bob have one key'],
])('OPERATOR_PUBLIC_KEYS=%s is refused by every program', (list, problem) => {
  for (const load of [loadApiConfig, loadWorkerConfig, loadSignatureConfig])
    expect(() => load({ OPERATOR_PUBLIC_KEYS: list })).toThrow(`OPERATOR_PUBLIC_KEYS: ${problem}`);
});

test('signatures cannot be required of nobody', () => {
  for (const load of [loadApiConfig, loadWorkerConfig])
    expect(() => load({ DECISION_SIGNATURES: 'required' })).toThrow('nobody could decide');
});
