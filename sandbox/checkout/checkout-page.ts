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
  /** The payer says so, and the offer has no MTC left for this expired order. */
  readonly isReportedTooLate: boolean;
  /** Where the page leads back to; null: nowhere. */
  readonly shopUrl: string | null;
}

/** How often the script looks whether the order has another state; null: never, because none follows. */
const LOOK_EVERY_MS = { WAITING: 5_000, PAID: 1_000, EXPIRED: 10_000, RELEASED: null, CANCELLED: null } as const;

function languages(current: Language, texts: Texts): Html {
  const links = LANGUAGES.map((language) => {
    const { htmlLang, languageName } = TEXTS[language];
    const mark = language === current ? html` aria-current="true"` : null;
    return html`<li><a href="?lang=${language}" lang="${htmlLang}" hreflang="${htmlLang}"${mark}>${languageName}</a></li>`;
  });
  return html`<nav aria-label="${texts.languages}"><ul class="languages">${links}</ul></nav>`;
}

function layout(language: Language, title: string, main: Html): string {
  const texts = TEXTS[language];
  return html`<!doctype html>
<html lang="${texts.htmlLang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<link rel="stylesheet" href="/style.css">
<script src="/checkout.js" defer></script>
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
export const shownState = (order: Order, now: Date): Order['state'] =>
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
  const leftMs = order.payBefore.getTime() - now.getTime();
  const seconds = Math.floor(leftMs / 1000);
  const left = texts.minutesAndSeconds
    .replace('{minutes}', String(Math.floor(seconds / 60)))
    .replace('{seconds}', String(seconds % 60));
  const at = order.payBefore.toISOString();
  return html`<p class="clock"><span>${texts.timeLeft} <strong role="timer" data-left-ms="${leftMs}" data-text="${texts.minutesAndSeconds}">${left}</strong></span>
<span class="quiet">${texts.payBefore} <time datetime="${at}" data-local="${texts.localTime}">${at.slice(0, 16).replace('T', ' ')} UTC</time></span></p>`;
}

/** Shown by the script, without which it does nothing. `text` goes to the clipboard. */
const copyButton = (text: string, name: string, { copy, copied }: Texts): Html =>
  html`<button type="button" class="copy" aria-label="${name}" data-copy="${text}" data-done="${copied}" hidden>${copy}</button>`;

function amount({ order }: Checkout, label: string, texts: Texts, copy: Html | null = null): Html {
  return html`<p class="quiet">${label}</p>
<p class="amount"><span class="select">${grouped(order.totalPrice)} ${order.currencyCode}</span> ${copy}</p>
<p class="quiet">${texts.currencies[order.currencyCode]}</p>`;
}

function account({ method, name, bank, account: number }: Payee, texts: Texts): Html {
  const copy = copyButton(number, `${texts.copyAccount}: ${number}`, texts);
  return html`<dl class="payee">
<dt>${texts.method}</dt><dd>${Object.hasOwn(texts.methods, method) ? texts.methods[method]! : foreign(method)}</dd>
<dt>${texts.payee}</dt><dd class="select">${foreign(name)}</dd>
${bank === null ? null : html`<dt>${texts.bank}</dt><dd>${foreign(bank)}</dd>`}
<dt>${texts.account}</dt><dd><span class="account select">${foreign(number)}</span> ${copy}</dd>
</dl>`;
}

const addressOf = ({ order }: Checkout, name: string, language: Language): string =>
  `/pay/${order.token}/${name}?lang=${language}`;

const paidForm = (checkout: Checkout, language: Language, className: string): Html =>
  html`<form method="post" action="${addressOf(checkout, 'paid', language)}"><button class="${className}">${TEXTS[language].paid}</button></form>`;

/** The payer's part of the page: where to pay, "I have paid", and cancel with a confirmation. */
function paying(checkout: Checkout, language: Language, now: Date): Html {
  const texts = TEXTS[language];
  const { order, payees } = checkout;
  return html`<section class="card" aria-labelledby="pay-to">
${clock(order, texts, now)}
${amount(checkout, texts.youPay, texts, copyButton(order.totalPrice, texts.copyAmount, texts))}
<h2 id="pay-to">${texts.payTo}</h2>
${payees.length > 1 ? html`<p class="quiet">${texts.chooseMethod}</p>` : null}
${payees.map((payee) => account(payee, texts))}
<dl><dt>${texts.payer}</dt><dd>${foreign(order.payerRealName)}</dd></dl>
<ol class="howto">${texts.howTo.map((line) => html`<li>${line}</li>`)}</ol>
${paidForm(checkout, language, 'main')}
<details class="cancel"><summary>${texts.cancel}</summary>
<p>${texts.cancelWarning}</p>
<form method="post" action="${addressOf(checkout, 'cancel', language)}"><button class="danger">${texts.cancelConfirm}</button></form>
</details>
<p id="said" class="unseen" role="status"></p>
</section>`;
}

/** For a payer who transferred the money and did not say so in time. */
function payingLate(checkout: Checkout, language: Language): Html {
  const { question, offer } = TEXTS[language].late;
  return html`<section class="card" aria-labelledby="late">
<h2 id="late">${question}</h2>
<p>${offer}</p>
${paidForm(checkout, language, '')}
</section>`;
}

function details(checkout: Checkout, state: Order['state'], texts: Texts): Html {
  const { order, transactionCode } = checkout;
  const isOpen = state === 'WAITING';
  const isBought = state === 'RELEASED';
  return html`<section class="card" aria-labelledby="details">
<h2 id="details">${texts.orderDetails}</h2>
${isOpen ? null : amount(checkout, isBought ? texts.youPaid : texts.amount, texts)}
<dl>
<dt>${isBought ? texts.bought : texts.ordered}</dt><dd>${grouped(order.mtcAmount)} MTC</dd>
<dt>${texts.unitPrice}</dt><dd>${order.unitPrice} ${order.currencyCode}/MTC</dd>
<dt>${texts.orderNumber}</dt><dd>${foreign(order.externalOrderNumber)}</dd>
${isOpen ? null : html`<dt>${texts.payer}</dt><dd>${foreign(order.payerRealName)}</dd>`}
${transactionCode === null ? null : html`<dt>${texts.transactionCode}</dt><dd class="select">${transactionCode}</dd>`}
</dl>
</section>`;
}

/** The heading and the sentence of the state. */
function story({ order, isReportedTooLate }: Checkout, state: Order['state'], texts: Texts): Texts['late']['refused'] {
  if (state === 'EXPIRED' && isReportedTooLate) return texts.late.refused;
  const isLate = state === 'PAID' && order.paidAt !== null && order.paidAt > order.payBefore;
  return isLate ? { ...texts.states.PAID, text: texts.late.reported } : texts.states[state];
}

/** The state in words, and how a change becomes visible: by a link, or by itself if the script runs. */
function stateBlock(checkout: Checkout, state: Order['state'], language: Language): Html {
  const texts = TEXTS[language];
  const { title, text } = story(checkout, state, texts);
  const everyMs = LOOK_EVERY_MS[state];
  const look = html` data-state="${state}" data-look="${addressOf(checkout, 'state', language)}" data-every-ms="${everyMs}"`;
  return html`<div class="state ${state}"${everyMs === null ? null : look}><h1>${title}</h1><p role="status">${text}</p>
${everyMs === null ? null : html`<p><a href="?lang=${language}" data-still>${texts.lookAgain}</a><span data-live hidden>${texts.updatesItself}</span></p>`}</div>`;
}

/** Renders the checkout of one order, in its state at `now`. */
export function checkoutPage(checkout: Checkout, language: Language, now: Date): string {
  const texts = TEXTS[language];
  const { shopUrl, isReportedTooLate } = checkout;
  const state = shownState(checkout.order, now);
  const isOpen = state === 'WAITING';
  const done = state === 'CANCELLED' || state === 'EXPIRED' ? null : STEPS_DONE[state];
  return layout(
    language,
    `${story(checkout, state, texts).title} · ${texts.title}`,
    html`<main${isOpen ? html` class="two"` : null}>
${stateBlock(checkout, state, language)}
${done === null ? null : steps(done, texts)}
${isOpen ? paying(checkout, language, now) : null}
${state === 'EXPIRED' && !isReportedTooLate ? payingLate(checkout, language) : null}
${details(checkout, state, texts)}
${shopUrl === null ? null : html`<p class="back"><a href="${shopUrl}">${texts.backToShop}</a></p>`}
</main>`,
  );
}

/** Renders the page for an unknown link. */
export function notFoundPage(language: Language): string {
  const { notFound, notFoundText } = TEXTS[language];
  return layout(
    language,
    notFound,
    html`<main><div class="state EXPIRED"><h1>${notFound}</h1><p>${notFoundText}</p></div></main>`,
  );
}
