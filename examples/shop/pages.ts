import type { Deposit, EngineEvent } from '../../client/src/client.ts';

/** The pages of the shop. Everything but the words of this file is escaped. */

/** The words for a customer; docs/guides/customer-states.md has the reasons. */
export const CUSTOMER_WORDS: Readonly<Record<Deposit['state'], string>> = {
  PLACING: 'We are preparing your payment.',
  PLACEMENT_REFUSED: 'We could not place this order. Nothing is to be paid for it; please order again.',
  PLACEMENT_UNKNOWN: 'We are checking your order. Please do not pay or order again yet.',
  AWAITING_PAYMENT: 'We are waiting for your payment.',
  EXPIRED: 'The time to pay is over. If you have paid, your MTC will still arrive.',
  CREDITING: 'Your payment has arrived. Your MTC are on their way.',
  IN_REVIEW: 'Your payment has arrived and is being checked. You need not do anything.',
  CREDITED: 'Paid. Your MTC are in your wallet.',
  REJECTED: 'Your payment was not credited to this order. Please contact us.',
  UNPAID: 'No payment arrived for this order. You can order again.',
};
/** Of a final deposit too the money may be taken out of the wallet. */
export const TAKEN_BACK = 'Your MTC were taken out of your wallet again. Please contact us.';

const escaped = (text: string | number): string =>
  String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const page = (title: string, main: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title><link rel="stylesheet" href="/shop.css"><script src="/shop.js" defer></script></head>
<body><main><h1>${escaped(title)}</h1>${main}</main></body></html>`;

export const messagePage = (said: string): string =>
  page('Sample shop', `<p>${escaped(said)}</p><p><a href="/">Back to the shop</a></p>`);

export const shopPage = (order: string): string =>
  page(
    'Sample shop',
    `<p>250 MTC for your wallet, paid in yuan.</p>
<form method="post" action="/orders"><input type="hidden" name="order" value="${escaped(order)}">
<button>Order 250 MTC</button></form>`,
  );

export function orderPage(deposit: Deposit, told: EngineEvent | null): string {
  const { externalOrderNumber: order, state, redirectUrl, reversal, creditedAmount } = deposit;
  const isPaid = state === 'CREDITED' && reversal === undefined;
  const link = `<p><a href="${escaped(redirectUrl ?? '')}" target="_blank" rel="noreferrer">Pay at the checkout (new tab)</a></p>`;
  const rows = [
    ['Order', order],
    ['In your wallet', creditedAmount === null ? 'nothing yet' : `${creditedAmount} MTC`],
    ['Last event', told === null ? 'none yet' : `${told.type}, number ${told.data.sequence}`],
  ].map(([name, value]) => `<dt>${escaped(name!)}</dt><dd>${escaped(value!)}</dd>`);
  return page(
    'Your order',
    `<div aria-live="polite" data-ticks="/orders/${escaped(encodeURIComponent(order))}/ticks" data-sequence="${told?.data.sequence ?? 0}">
<p class="state ${isPaid ? 'paid' : ''}">${isPaid ? '<span aria-hidden="true">✓</span> ' : ''}${escaped(
      reversal === undefined ? CUSTOMER_WORDS[state] : TAKEN_BACK,
    )}</p>
${state === 'AWAITING_PAYMENT' && redirectUrl !== null ? link : ''}<dl>${rows.join('')}</dl></div>
<p>This page changes by itself when a notification arrives; without a script, load it again.</p>
<p><a href="/">Back to the shop</a></p>`,
  );
}

/** The page ticks: what it says comes from the server, as at a reload. */
export const SHOP_SCRIPT = `'use strict';
const order = document.querySelector('[data-ticks]');
if (order !== null) {
  new EventSource(order.dataset.ticks).onmessage = async ({ data }) => {
    if (data === order.dataset.sequence) return;
    const text = await (await fetch(location.href)).text();
    const now = new DOMParser().parseFromString(text, 'text/html').querySelector('[data-ticks]');
    if (now === null) return;
    order.dataset.sequence = now.dataset.sequence;
    order.replaceChildren(...now.childNodes);
  };
}
`;

export const SHOP_STYLE = `
:root { color-scheme: light; font: 1.0625rem/1.5 system-ui, sans-serif; color: #14202e; background: #f3f5f9; }
body { margin: 0; }
main { max-width: 34rem; margin: 2rem auto; padding: 1.5rem; background: #fff; border-radius: .75rem; }
h1 { font-size: 1.5rem; margin-top: 0; }
a { color: #0a4fc4; }
button { font: inherit; font-weight: 600; padding: .6rem 1.2rem; border: 0; border-radius: .5rem; background: #0a4fc4; color: #fff; cursor: pointer; }
:focus-visible { outline: 3px solid #b45309; outline-offset: 2px; }
.state { font-size: 1.25rem; font-weight: 600; }
.paid { color: #0b6b3a; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
`;
