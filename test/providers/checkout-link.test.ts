import { expect, it } from 'vitest';
import { checkoutLink, type LinkRules } from '../../providers/checkout-link.ts';

const rules: LinkRules = {
  redirectHosts: ['checkout.example', 'localhost:8090'],
  plainHttpHosts: ['localhost'],
};

it.each([
  ['https://checkout.example/pay/1', 'https://checkout.example/pay/1'],
  ['HTTPS://Checkout.Example:8443/a?b#c', 'https://checkout.example:8443/a?b#c'],
  ['http://localhost:8090/pay', 'http://localhost:8090/pay'],
  ['https://localhost:8090/pay', 'https://localhost:8090/pay'],
  ['http://localhost:8091/pay', null],
  ['http://checkout.example/pay', null],
  ['ftp://localhost:8090/pay', null],
  ['https://evil.example/', null],
  ['https://user@checkout.example/', null],
  ['https://:word@checkout.example/', null],
  ['checkout.example', null],
  ['', null],
])('a link is shown as it is kept, or not at all: %s', (text, shown) => {
  expect(checkoutLink(text, rules)).toBe(shown);
});

it('a link of 2,000 characters is the longest', () => {
  const link = (length: number) => `https://checkout.example/${'a'.repeat(length - 25)}`;
  expect(checkoutLink(link(2_000), rules)).toBe(link(2_000));
  expect(checkoutLink(link(2_001), rules)).toBeNull();
});
