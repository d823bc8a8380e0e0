import { type Request, type Response, Router } from 'express';
import { foreign, grouped, Html, html } from '../../html.ts';
import { cancelOrder, markPaid, type Order, ordersByNumber, type OrderState } from '../../orders/orders.ts';
import { viewOrders } from '../../orders/order-view.ts';
import { releaseOrder } from '../../callbacks/release.ts';
import { deliveryCard } from './deliveries.ts';
import { eventSentence, toneOf } from './event-text.ts';
import { badge, field, form, moment, row, select, show, table } from '../page.ts';
import { beforeOf, older, PAGE } from '../paging.ts';
import { asked, ConsoleProblem, type ConsoleParts, done, idOf } from '../requests.ts';
import { numberOfOrder, type OrderLine, searchEvents, searchOrders } from '../queries.ts';

const EVENTS = 500;
const STATES: readonly OrderState[] = ['WAITING', 'PAID', 'RELEASED', 'CANCELLED', 'EXPIRED'];
const TONES = { WAITING: '', PAID: 'warn', RELEASED: 'good', CANCELLED: 'bad', EXPIRED: 'bad' } as const;

type OrderFacts = Awaited<ReturnType<typeof viewOrders>>[number];

const lineOf = (order: OrderLine): Html =>
  row([
    html`<a href="/console/orders/${order.id}">${foreign(order.externalOrderNumber)}</a>${order.nth > 1 ? html` (order ${order.nth} of this number)` : null}`,
    moment(order.madeAt),
    foreign(order.payerRealName),
    html`${grouped(order.totalPrice)} ${order.currencyCode}`,
    html`${grouped(order.mtcAmount)} MTC`,
    badge(order.state, TONES[order.state]),
  ]);

async function list({ pool }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const text = asked(request, 'q').trim().slice(0, 200);
  const state = STATES.find((each) => each === asked(request, 'state')) ?? null;
  const lines = await searchOrders(pool, { text, state, before: beforeOf(request), limit: PAGE });
  const choices = [['', 'any state'] as const, ...STATES.map((each) => [each, each] as const)];
  show(request, response, {
    title: 'Orders',
    body: html`<form method="get" action="/console/orders" class="card row" role="search">
${field('Order number, payer or transaction code', 'q', text, { type: 'search' })}
${select('State', 'state', choices, state ?? '')}
<button>Search</button></form>
<div class="card">${table(
      'Orders, newest first',
      ['Order number', 'Placed (UTC)', 'Payer', 'To pay', 'To receive', 'State'],
      lines.map(lineOf),
      'No order fits. Orders appear here as soon as a merchant has placed one.',
    )}
${older('/console/orders', { q: text, state: state ?? '' }, lines)}</div>`,
  });
}

function actions(response: Response, order: OrderFacts): Html {
  const button = (name: string, text: string, className = ''): Html =>
    form(response, `/console/orders/${order.id}/${name}`, html`<button class="${className}">${text}</button>`);
  const isUnpaid = order.state === 'WAITING' || order.state === 'EXPIRED';
  return html`<div class="row">
${isUnpaid ? button('pay', order.state === 'EXPIRED' ? 'Pay late as customer' : 'Pay as customer', 'main') : null}
${order.state === 'PAID' ? button('release', 'Release', 'main') : null}
${order.state === 'RELEASED' ? button('pay-again', 'Pay a second time as customer') : null}
${order.state === 'WAITING' ? button('cancel', 'Cancel', 'danger') : null}
<a href="/pay/${order.token}">Checkout page</a>
<a href="/console/faults?order=${encodeURIComponent(order.externalOrderNumber)}">Misbehaviour for this order</a></div>`;
}

const isZero = (amount: string): boolean => /^[0.]*$/.test(amount);

function facts(order: OrderFacts): Html {
  return html`<dl>
<dt>State</dt><dd>${badge(order.state, TONES[order.state])}</dd>
<dt>Payer</dt><dd>${foreign(order.payerRealName)}</dd>
<dt>To pay</dt><dd>${grouped(order.totalPrice)} ${order.currencyCode}</dd>
<dt>Bought</dt><dd>${grouped(order.mtcAmount)} MTC</dd>
${isZero(order.feeMtc) ? null : html`<dt>Merchant’s fee</dt><dd>${grouped(order.feeMtc)} MTC kept back</dd>`}
${isZero(order.feePrice) ? null : html`<dt>Payer’s fee</dt><dd>${grouped(order.feePrice)} ${order.currencyCode}, part of the price</dd>`}
<dt>Told in the callback</dt><dd>${grouped(order.reportedAmount)} MTC</dd>
<dt>Unit price</dt><dd>${order.unitPrice} ${order.currencyCode}/MTC, ${order.buyCoinMode}</dd>
<dt>Advertisement</dt><dd>${foreign(order.advertisementCode)}</dd>
<dt>Placed with key</dt><dd class="mono">${order.accessKey}</dd>
<dt>Callback to</dt><dd class="mono">${foreign(order.callbackUrl)}</dd>
<dt>Placed</dt><dd>${moment(order.madeAt)}</dd>
<dt>Pay before</dt><dd>${moment(order.payBefore)}</dd>
<dt>Paid</dt><dd>${moment(order.paidAt)}</dd>
<dt>Released</dt><dd>${moment(order.releasedAt)}</dd>
</dl>`;
}

/** Whether the order may change by itself within seconds. */
const isMoving = (order: OrderFacts): boolean =>
  order.state === 'PAID' || order.deliveries.some((delivery) => delivery.sending);

async function one({ pool }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const found = await orderOf(pool, request);
  const order = (await viewOrders(pool, [found]))[0]!;
  const number = order.externalOrderNumber;
  const events = (await searchEvents(pool, { number, kind: '', before: null, limit: EVENTS })).toReversed();
  // Several orders of one number share its events, so an event that names another order is left out.
  const own = events.filter(
    ({ detail }) => detail['orderId'] === undefined || detail['orderId'] === null || detail['orderId'] === order.id,
  );
  const transactions = order.transactions.map((each) =>
    row([
      html`<span class="mono">${each.transactionCode}</span>`,
      html`${grouped(each.transactionAmount)} MTC`,
      html`${grouped(each.paymentPrice)} ${order.currencyCode}`,
      moment(each.finishedAt),
    ]),
  );
  show(request, response, {
    title: `Order ${number}`,
    refreshSeconds: isMoving(order) ? 3 : null,
    body: html`<div class="card">${actions(response, order)}</div>
<div class="card">${facts(order)}</div>
<div class="card">${table('Transactions', ['Code', 'Amount', 'Paid', 'Finished (UTC)'], transactions, 'None yet: the currency has not been released.')}</div>
<section aria-label="Callbacks">${order.deliveries.map((delivery) => deliveryCard(response, delivery, `/console/orders/${order.id}`))}</section>
<section class="card" aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>
<ol class="timeline">${own.map((event) => html`<li class="${toneOf(event)}"><p>${eventSentence(event)}</p><p class="quiet">${moment(event.at)} UTC</p></li>`)}</ol></section>`,
  });
}

async function orderOf(pool: ConsoleParts['pool'], request: Request): Promise<Order> {
  const id = idOf(request);
  const number = await numberOfOrder(pool, id);
  const order = number === null ? undefined : (await ordersByNumber(pool, number)).find((each) => each.id === id);
  if (order === undefined) throw new ConsoleProblem(404, 'There is no such order.');
  return order;
}

/** The pages of orders: the list, one order, and the actions of customer and seller. */
export function orderPages(parts: ConsoleParts): Router {
  const { pool, book, loop } = parts;
  const router = Router();
  router.get('/', (request, response) => list(parts, request, response));
  router.get('/:id', (request, response) => one(parts, request, response));

  const act = (name: string, what: string, refused: string, run: (id: number) => Promise<boolean>): void => {
    router.post(`/:id/${name}`, async (request, response) => {
      const id = idOf(request);
      if (!(await run(id))) throw new ConsoleProblem(409, refused);
      loop.wake();
      done(response, `/console/orders/${id}`, what);
    });
  };
  act('pay', 'paid', 'The order cannot be paid any more.', (id) => markPaid(pool, id, book.current()));
  act(
    'release',
    'released',
    'Only a paid order can be released.',
    async (id) => (await releaseOrder(pool, id)) !== null,
  );
  act('cancel', 'cancelled', 'The order cannot be cancelled any more.', (id) => cancelOrder(pool, id));
  act(
    'pay-again',
    'paidAgain',
    'Only a released order can be paid a second time.',
    async (id) => (await releaseOrder(pool, id, { again: true })) !== null,
  );
  return router;
}
