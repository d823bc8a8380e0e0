import { type Request, type Response, Router } from 'express';
import type pg from 'pg';
import { checkoutPage, notFoundPage, shownState } from './checkout-page.ts';
import { payeesOf } from './checkout-payees.ts';
import type { DeliveryLoop } from '../callbacks/delivery-loop.ts';
import { ORDER_PLACE } from '../config.ts';
import { cancelOrder, isReportedTooLate, markPaid, type Order, orderByToken } from '../orders/orders.ts';
import { LANGUAGES, type Language } from '../orders/parameters.ts';
import type { Settings } from '../settings.ts';

export interface CheckoutParts {
  readonly pool: pg.Pool;
  readonly settings: () => Settings;
  readonly loop: DeliveryLoop;
  readonly shopUrl: string | null;
}

const languageOf = (request: Request, order: Order | null): Language =>
  LANGUAGES.find((language) => language === request.query['lang']) ?? order?.supportLanguage ?? 'en';

/** Reads the transaction code for the receipt; the first one, if a fault made several for one order. */
async function transactionCodeOf(pool: pg.Pool, order: Order): Promise<string | null> {
  const { rows } = await pool.query<{ code: string }>(
    `SELECT transaction_code AS code FROM sandbox.transaction WHERE order_id = $1
     ORDER BY finished_at, transaction_code LIMIT 1`,
    [order.id],
  );
  return rows[0]?.code ?? null;
}

/**
 * The pages behind `redirectUrl`. Anybody with the link may pay or cancel; there is no other login. A form returns a
 * redirect to the page, so that a reload sends nothing twice.
 */
export function checkoutRoutes({ pool, settings, loop, shopUrl }: CheckoutParts): Router {
  const router = Router();

  const notFound = (request: Request, response: Response): void =>
    void response
      .status(404)
      .type('html')
      .send(notFoundPage(languageOf(request, null)));
  const find = async (request: Request, response: Response): Promise<Order | null> => {
    const order = await orderByToken(pool, String(request.params['token']));
    response.set('cache-control', 'no-store');
    if (order === null) notFound(request, response);
    return order;
  };
  const back = (request: Request, response: Response, order: Order): void =>
    response.redirect(303, `/pay/${order.token}?lang=${languageOf(request, order)}`);

  router.get('/:token', async (request, response) => {
    const order = await find(request, response);
    if (order === null) return;
    const checkout = {
      order,
      payees: await payeesOf(pool, order),
      transactionCode: order.state === 'RELEASED' ? await transactionCodeOf(pool, order) : null,
      isReportedTooLate: order.state === 'EXPIRED' && (await isReportedTooLate(pool, order)),
      shopUrl: shopUrl?.replaceAll(ORDER_PLACE, () => encodeURIComponent(order.externalOrderNumber)) ?? null,
    };
    response.type('html').send(checkoutPage(checkout, languageOf(request, order), new Date()));
  });

  // For the script of the page.
  router.get('/:token/state', async (request, response) => {
    const order = await find(request, response);
    if (order !== null) response.json({ state: shownState(order, new Date()) });
  });

  // A reload, the back button or a saved form address arrives as GET; it gets the page.
  router.get(['/:token/paid', '/:token/cancel'], async (request, response) => {
    const order = await find(request, response);
    if (order !== null) back(request, response, order);
  });

  router.post('/:token/paid', async (request, response) => {
    const order = await find(request, response);
    if (order === null) return;
    await markPaid(pool, order.id, settings());
    loop.wake();
    back(request, response, order);
  });

  router.post('/:token/cancel', async (request, response) => {
    const order = await find(request, response);
    if (order === null) return;
    await cancelOrder(pool, order.id);
    back(request, response, order);
  });

  router.get('/{*rest}', (request, response) => notFound(request, response));

  return router;
}
