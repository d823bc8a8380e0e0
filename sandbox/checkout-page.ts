import { PAYEES } from './advertisements.ts';
import { Html, html } from './html.ts';
import type { Order } from './orders.ts';
import { LANGUAGES, type Language } from './parameters.ts';
import { type Texts, TEXTS } from './texts.ts';

/** Seconds after which a page that can still change asks again; there are no scripts. */
const REFRESH_SECONDS = { WAITING: 30, PAID: 2 } as const;

const NOTHING = new Html('');

function layout(texts: Texts, refreshSeconds: number | null, body: Html): string {
  const refresh = refreshSeconds === null ? NOTHING : html`<meta http-equiv="refresh" content="${refreshSeconds}">`;
  return html`<!doctype html>
<html lang="${texts.htmlLang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${refresh}
<title>${texts.title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
${body}
</body>
</html>
`.text;
}

/** An order not paid in time is shown as expired from that moment, whether or not the loop has marked it yet. */
const shownState = (order: Order, now: Date): Order['state'] =>
  order.state === 'WAITING' && order.payBefore <= now ? 'EXPIRED' : order.state;

function timeLeft(order: Order, texts: Texts, now: Date): Html {
  const seconds = Math.max(0, Math.floor((order.payBefore.getTime() - now.getTime()) / 1000));
  const text = texts.minutesAndSeconds(Math.floor(seconds / 60), seconds % 60);
  return html`<dt>${texts.timeLeft}</dt><dd role="timer">${text}</dd>`;
}

function actions(order: Order, language: Language, texts: Texts): Html {
  const action = (name: string): string => `/pay/${order.token}/${name}?lang=${language}`;
  return html`<p>${texts.howTo}</p>
<form method="post" action="${action('paid')}"><button class="main">${texts.paid}</button></form>
<form method="post" action="${action('cancel')}"><button>${texts.cancel}</button></form>`;
}

function languages(current: Language): Html {
  const links = LANGUAGES.filter((language) => language !== current).map(
    (language) =>
      html`<a href="?lang=${language}" lang="${TEXTS[language].htmlLang}">${TEXTS[language].languageName}</a>`,
  );
  return html`<nav>${links}</nav>`;
}

/** The checkout of one order, as it stands at `now`. */
export function checkoutPage(order: Order, language: Language, now: Date): string {
  const texts = TEXTS[language];
  const payee = PAYEES[order.currencyCode];
  const state = shownState(order, now);
  const isOpen = state === 'WAITING';
  const refresh = state === 'WAITING' || state === 'PAID' ? REFRESH_SECONDS[state] : null;
  return layout(
    texts,
    refresh,
    html`<p class="notice">${texts.sandboxNotice}</p>
<main>
<h1>${texts.states[state].title}</h1>
<p role="status">${texts.states[state].text}</p>
<dl>
<dt>${texts.youPay}</dt><dd class="big">${order.totalPrice} ${order.currencyCode}</dd>
<dt>${texts.youReceive}</dt><dd>${order.mtcAmount} MTC</dd>
<dt>${texts.unitPrice}</dt><dd>${order.unitPrice} ${order.currencyCode}/MTC</dd>
<dt>${texts.payee}</dt><dd>${payee.name}</dd>
<dt>${texts.account}</dt><dd>${payee.account}</dd>
<dt>${texts.payer}</dt><dd>${order.payerRealName}</dd>
<dt>${texts.orderNumber}</dt><dd>${order.externalOrderNumber}</dd>
${isOpen ? timeLeft(order, texts, now) : NOTHING}
</dl>
${isOpen ? actions(order, language, texts) : NOTHING}
</main>
${languages(language)}`,
  );
}

/** What a link nobody was given leads to. */
export function notFoundPage(language: Language): string {
  const texts = TEXTS[language];
  return layout(texts, null, html`<p class="notice">${texts.sandboxNotice}</p><h1>${texts.notFound}</h1>`);
}
