import { expect, it } from 'vitest';
import { IDENTIFIER, providerOf } from '../../domain/order.ts';

it('an identifier has 1 to 64 letters, digits, dashes and underscores, and nothing before or behind', () => {
  const taken = ['a', 'A-_9', 'a'.repeat(64)];
  const refused = ['', 'a'.repeat(65), '.a', 'a.', 'a b', 'a\n', 'é'];
  expect([...taken, ...refused].filter((text) => IDENTIFIER.test(text))).toEqual(taken);
});

it('a provider that nothing names is the only one that there was: histories of before say so', () => {
  expect([providerOf(), providerOf({}), providerOf({ provider: 'mtpay' })]).toEqual(['mtpay', 'mtpay', 'mtpay']);
});
