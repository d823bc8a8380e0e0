import { expect, it } from 'vitest';
import { causeOf, isRefusal, REFUSALS } from '../../providers/mtpay/codes.ts';

it('a code of the provider says what it finds fault with, and any other says nothing', () => {
  const causes = ['TIMESTAMP_ERROR', ...Object.keys(REFUSALS), 'SYSTEM_ERROR', 'toString', ''].map((code) => [
    code,
    causeOf(code),
    isRefusal(code),
  ]);
  expect(causes).toEqual([
    ['TIMESTAMP_ERROR', 'clock', false],
    ['SIGNATURE_ERROR', 'stamp or key', true],
    ['ACCESS_KEY_ERROR', 'configuration', true],
    ['ACCOUNT_STATUS_ERROR', 'configuration', true],
    ['PARAMETER_ERROR', 'order', true],
    ['NO_ADVERTISEMENT', 'order', true],
    ['SYSTEM_ERROR', null, false],
    ['toString', null, false],
    ['', null, false],
  ]);
  expect([undefined, 7, null, ['PARAMETER_ERROR']].map((code) => isRefusal(code))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

it('every refusal has a meaning and a remedy, for the document of the API', () => {
  for (const { meaning, remedy } of Object.values(REFUSALS)) {
    expect(meaning).toMatch(/^\S.+\.$/);
    expect(remedy).toMatch(/^\S.+\.$/);
  }
});
