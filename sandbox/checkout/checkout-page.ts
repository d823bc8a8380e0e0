import type { Payee } from './checkout-payees.ts';
import { foreign, grouped, type Html, html } from '../html.ts';
import type { Order } from '../orders/orders.ts';
import { LANGUAGES, type Language } from '../orders/parameters.ts';
import { type Texts, TEXTS } from './texts.ts';

/** The data of one checkout page. */
export interface Checkout {
  readonly order: Order;
  /** One for each payment method that the seller accepts. */
  readonly payees: readonly Payee[];
  /** The code of the first transaction, after the release of the currency. */
  readonly transactionCode: string | null;
}

/** Seconds after which a page that can still change reloads; there are no scripts. */
const REFRESH_SECONDS = { WAITING: 30, PAID: 2 } as const;

function languages(current: Language, texts: Texts): Html {
  const links = LANGUAGES.map((language) => {
    const { htmlLang, languageName } = TEXTS[language];
    const mark = language === current ? html` aria-current="true"` : null;
    return html`<li><a href="?lang=${language}" lang="${htmlLang}" hreflang="${htmlLang}"${mark}>${languageName}</a></li>`;
  });
  return html`<nav aria-label="${texts.languages}"><ul class="languages">${links}</ul></nav>`;
}

function layout(language: Language, title: string, refreshSeconds: number | null, main: Html): string {
  const texts = TEXTS[language];
  const refresh = refreshSeconds === null ? null : html`<meta http-equiv="refresh" content="${refreshSeconds}">`;
  return html`<!doctype html>
<html lang="${texts.htmlLang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${refresh}
<title>${title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="checkout">
<aside class="sandbox">${texts.sandboxNotice}</aside>
<header class="bar"><div><span class="brand">MTPay · ${texts.title}</span>${languages(language, texts)}</div></header>
${main}
</body>
</html>
`.text;
}

/** Shows an order as expired from its deadline on, even if the loop has not marked it yet. */
const shownState = (order: Order, now: Date): Order['state'] =>
  order.state === 'WAITING' && order.payBefore <= now ? 'EXPIRED' : order.state;

/** How many of the three steps the payer has completed. */
const STEPS_DONE = { WAITING: 0, PAID: 2, RELEASED: 3 } as const;

function steps(done: number, texts: Texts): Html {
  const items = texts.steps.map((step, index) => {
    const mark = index === done ? html` aria-current="step"` : null;
    return html`<li${index < done ? html` class="done"` : null}${mark}>${step}</li>`;
  });
  return html`<ol class="steps" aria-label="${texts.progress}">${items}</ol>`;
}

function clock(order: Order, texts: Texts, now: Date): Html {
  const seconds = Math.max(0, Math.floor((order.payBefore.getTime() - now.getTime()) / 1000));
  const left = texts.minutesAndSeconds(Math.floor(seconds / 60), seconds % 60);
  const at = order.payBefore.toISOString();
  return html`<p class="clock"><span>${texts.timeLeft} <strong>${left}</strong></span>
<span class="quiet">${texts.payBefore} <time datetime="${at}">${at.slice(0, 16).replace('T', ' ')} UTC</time></span></p>`;
}

function amount({ order }: Checkout, label: string, texts: Texts): Html {
  return html`<p class="quiet">${label}</p>
<p class="amount select">${grouped(order.totalPrice)} ${order.currencyCode}</p>
<p class="quiet">${texts.currencies[order.currencyCode]}</p>`;
}

function account({ method, name, bank, account: number }: Payee, texts: Texts): Html {
  return html`<dl class="payee">
<dt>${texts.method}</dt><dd>${Object.hasOwn(texts.methods, method) ? texts.methods[method]! : foreign(method)}</dd>
<dt>${texts.payee}</dt><dd class="select">${foreign(name)}</dd>
${bank === null ? null : html`<dt>${texts.bank}</dt><dd>${foreign(bank)}</dd>`}
<dt>${texts.account}</dt><dd class="account select">${foreign(number)}</dd>
</dl>`;
}

/** The payer's part of the page: where to pay, "I have paid", and cancel with a confirmation. */
function paying(checkout: Checkout, language: Language, now: Date): Html {
  const texts = TEXTS[language];
  const { order, payees } = checkout;
  const action = (name: string): string => `/pay/${order.token}/${name}?lang=${language}`;
  return html`<section class="card" aria-labelledby="pay-to">
${clock(order, texts, now)}
${amount(checkout, texts.youPay, texts)}
<h2 id="pay-to">${texts.payTo}</h2>
${payees.length > 1 ? html`<p class="quiet">${texts.chooseMethod}</p>` : null}
${payees.map((payee) => account(payee, texts))}
<dl><dt>${texts.payer}</dt><dd>${foreign(order.payerRealName)}</dd></dl>
<ol class="howto">${texts.howTo.map((line) => html`<li>${line}</li>`)}</ol>
<form method="post" action="${action('paid')}"><button class="main">${texts.paid}</button></form>
<details class="cancel"><summary>${texts.cancel}</summary>
<p>${texts.cancelWarning}</p>
<form method="post" action="${action('cancel')}"><button class="danger">${texts.cancelConfirm}</button></form>
</details>
</section>`;
}

function details(checkout: Checkout, state: Order['state'], texts: Texts): Html {
  const { order, transactionCode } = checkout;
  const isOpen = state === 'WAITING';
  const label = state === 'PAID' || state === 'RELEASED' ? texts.youPaid : texts.amount;
  return html`<section class="card" aria-labelledby="details">
<h2 id="details">${texts.orderDetails}</h2>
${isOpen ? null : amount(checkout, label, texts)}
<dl>
<dt>${texts.youReceive}</dt><dd>${grouped(order.mtcAmount)} MTC</dd>
<dt>${texts.unitPrice}</dt><dd>${order.unitPrice} ${order.currencyCode}/MTC</dd>
<dt>${texts.orderNumber}</dt><dd>${foreign(order.externalOrderNumber)}</dd>
${isOpen ? null : html`<dt>${texts.payer}</dt><dd>${foreign(order.payerRealName)}</dd>`}
${transactionCode === null ? null : html`<dt>${texts.transactionCode}</dt><dd class="select">${transactionCode}</dd>`}
</dl>
</section>`;
}

/** Renders the checkout of one order, in its state at `now`. */
export function checkoutPage(checkout: Checkout, language: Language, now: Date): string {
  const texts = TEXTS[language];
  const state = shownState(checkout.order, now);
  const isOpen = state === 'WAITING';
  const refresh = state === 'WAITING' || state === 'PAID' ? REFRESH_SECONDS[state] : null;
  const done = state === 'CANCELLED' || state === 'EXPIRED' ? null : STEPS_DONE[state];
  return layout(
    language,
    `${texts.states[state].title} · ${texts.title}`,
    refresh,
    html`<main${isOpen ? html` class="two"` : null}>
<div class="state ${state}"><h1>${texts.states[state].title}</h1><p role="status">${texts.states[state].text}</p></div>
${done === null ? null : steps(done, texts)}
${isOpen ? paying(checkout, language, now) : null}
${details(checkout, state, texts)}
</main>`,
  );
}

/** Renders the page for an unknown link. */
export function notFoundPage(language: Language): string {
  const { notFound, notFoundText } = TEXTS[language];
  return layout(
    language,
    notFound,
    null,
    html`<main><div class="state EXPIRED"><h1>${notFound}</h1><p>${notFoundText}</p></div></main>`,
  );
}
