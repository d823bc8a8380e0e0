import { Router } from 'express';
import type pg from 'pg';
import { requireBasic } from './access.ts';
import { Html, html } from './html.ts';
import { type DeliveryView, viewDeliveries } from './order-view.ts';
import { latestOrders, type Order } from './orders.ts';

/** As many orders as the index shows. */
const SHOWN = 50;

function row(order: Order, deliveries: readonly DeliveryView[]): Html {
  const progress = deliveries.map((delivery) => html`<div>${delivery.transactionCode}: ${delivery.progress}</div>`);
  return html`<tr>
<td><a href="/pay/${order.token}">${order.externalOrderNumber}</a></td>
<td>${order.madeAt.toISOString()}</td>
<td>${order.totalPrice} ${order.currencyCode}</td>
<td>${order.mtcAmount} MTC</td>
<td>${order.state}</td>
<td>${progress}</td>
</tr>
`;
}

function page(rows: readonly Html[]): string {
  const empty = html`<tr><td colspan="6">No order has been placed yet.</td></tr>`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>MTPay sandbox</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="console">
<p class="notice">Sandbox: no real money moves here.</p>
<h1>Latest orders</h1>
<div class="scroll"><table>
<thead><tr><th scope="col">Order</th><th scope="col">Made at</th><th scope="col">To pay</th><th scope="col">To receive</th><th scope="col">State</th><th scope="col">Callback</th></tr></thead>
<tbody>
${rows.length === 0 ? empty : rows}
</tbody>
</table></div>
</body>
</html>
`.text;
}

/** `GET /`: the latest orders and how their callbacks fare. The control token is the password. */
export function consoleRoutes(pool: pg.Pool, token: string): Router {
  const router = Router();
  router.get('/', requireBasic(token), async (_request, response) => {
    const orders = await latestOrders(pool, SHOWN);
    const deliveries = await viewDeliveries(
      pool,
      orders.map((order) => order.id),
    );
    const rows = orders.map((order) =>
      row(
        order,
        deliveries.filter((delivery) => delivery.orderId === order.id),
      ),
    );
    response.set('cache-control', 'no-store').type('html').send(page(rows));
  });
  return router;
}
