import { expect, test } from 'vitest';
import type { DepositClient } from '../../client/src/client.ts';
import { createSigner } from '../../commands/signing.ts';
import { newOperatorKey } from '../../config/keys/operator-keys.ts';

/** The operator's view before signing, with a compromised API. */
const { privateKey } = newOperatorKey();

const evil = {
  id: 'review:1',
  state: 'open',
  reason: 'AMOUNT_MISMATCH',
  detail: '',
  openedAt: '2026-01-01T00:00:00.000Z',
  externalOrderNumber: 'o-1',
  wallet: 'wallet-evil',
  transactionCode: 'AT1',
  transactionAmount: '5000',
  currencyCode: 'CNY',
  paymentPrice: '36000',
  receivedAt: '2026-01-01T00:00:00.000Z',
  contentHash: '00'.repeat(32),
  standing: 'nothing',
  newestCredit: null,
  allowed: ['credit'],
  needsTwo: true,
  decision: null,
  decidedBy: null,
  decidedAt: null,
  postingId: null,
};
const proposal = {
  id: '7',
  decision: 'credit',
  operator: 'alice',
  keep: false,
  toDeposit: null,
  beside: null,
  onlyOrdered: false,
  at: '2026-01-01T00:00:00.000Z',
};

test('nothing that it is shown is obeyed by the terminal, so that no other wallet than the one signed can be read', async () => {
  const shown: string[] = [];
  const agrees = async (lines: readonly string[]) => {
    shown.push(...lines);
    return false;
  };
  const reason = 'as stated\u001b[3A\r  wallet   wallet-good\u001b[3B\r\u202e\u2028\u009b2K';
  const shownCase = { ...evil, currencyCode: 'CNY\n  wallet   wallet-good', proposal: { ...proposal, reason } };
  await createSigner('bob', { pem: privateKey, agrees })({
    client: { reviews: { read: async () => shownCase } } as unknown as DepositClient,
    id: 'review:1',
    step: 'confirm',
    body: { proposal: '7' },
    wallet: null,
  });
  expect(shown.join('')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  expect(shown).toContain('  wallet   wallet-evil');
  expect(shown).toContain(
    String.raw`  reason   as stated\u{1b}[3A\u{d}  wallet   wallet-good\u{1b}[3B\u{d}\u{202e}\u{2028}\u{9b}2K`,
  );
});
