import type { Request, Response } from 'express';
import { listFaults } from '../../faults/faults.ts';
import { html, type Html } from '../../html.ts';
import { listKeys } from '../../keys.ts';
import { badge, show } from '../page.ts';
import type { ConsoleParts } from '../requests.ts';
import { countStates } from '../queries.ts';

const tile = (path: string, name: string, figure: Html | string | number, note: string): Html =>
  html`<li class="card"><a href="${path}">${name}</a><strong>${figure}</strong><span class="quiet">${note}</span></li>`;

/** The sandbox's state on one page. */
export async function overview({ pool, book }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const [{ orders, deliveries }, keys, faults] = await Promise.all([
    countStates(pool),
    listKeys(pool),
    listFaults(pool),
  ]);
  const settings = book.current();
  const active = keys.filter((key) => key.state === 'active').length;
  const total = Object.values(orders).reduce((sum, count) => sum + count, 0);
  const of = (counts: Readonly<Record<string, number>>, state: string): number => counts[state] ?? 0;
  show(request, response, {
    title: 'Overview',
    body: html`<ul class="tiles">
${tile('/console/account', 'Account', settings.frozen ? badge('frozen', 'bad') : badge('normal', 'good'), 'status of the merchant’s account')}
${tile('/console/orders', 'Orders', total, `${of(orders, 'WAITING')} waiting, ${of(orders, 'PAID')} paid, ${of(orders, 'RELEASED')} released`)}
${tile('/console/deliveries?state=PENDING', 'Callbacks pending', of(deliveries, 'PENDING'), `${of(deliveries, 'ACKNOWLEDGED')} acknowledged`)}
${tile('/console/deliveries?state=FAILED', 'Callback Failed', of(deliveries, 'FAILED'), 'the retry table is used up')}
${tile('/console/tokens', 'API tokens', active, 'keys in force')}
${tile('/console/faults', 'Misbehaviour', faults.length, 'armed')}
${tile('/console/settings', 'Speed', `${settings.speed}×`, `retry table read as ${settings.retryReading}`)}
</ul>`,
  });
}
