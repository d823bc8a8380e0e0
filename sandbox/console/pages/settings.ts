import { Router } from 'express';
import { html } from '../../html.ts';
import { badge, field, form, remembered, select, show } from '../page.ts';
import { type ConsoleParts, done, isChanged, posted } from '../requests.ts';
import { parsePatch, readSettings, settingField, settingNames } from './settings-form.ts';

/** The settings: the sandbox's choices where the documents leave something open. */
export function settingPages({ book, loop }: ConsoleParts): Router {
  const router = Router();
  router.get('/', (request, response) => {
    const settings = book.current();
    const fields = settingNames(settings).map((name) => settingField(name, settings));
    show(request, response, {
      title: 'Settings',
      body: html`<p class="lead">They hold at once, survive a restart and win over the configuration. Most answer a question the documents leave open.</p>
<div class="card">${form(response, '/console/settings', html`<div class="grid">${fields}</div><button class="main">Save</button>`)}</div>
<div class="card">${form(response, '/console/settings/reset', html`<button>Take the configured values again</button>`)}</div>`,
    });
  });
  router.post('/', async (request, response) => {
    const patch = readSettings(request, book.current());
    if (Object.keys(patch).length > 0) await book.change(patch);
    loop.wake();
    done(response, '/console/settings', 'saved');
  });
  router.post('/reset', async (_request, response) => {
    await book.change(Object.fromEntries(settingNames(book.current()).map((name) => [name, null])));
    loop.wake();
    done(response, '/console/settings', 'reset');
  });
  return router;
}

/** The page that shows, freezes and unfreezes the merchant's account. */
export function accountPages({ book }: ConsoleParts): Router {
  const router = Router();
  router.get('/', (request, response) => {
    const { frozen } = book.current();
    const button = frozen
      ? html`<input type="hidden" name="frozen" value="false"><button class="main">Set to normal</button>`
      : html`<input type="hidden" name="frozen" value="true"><button class="danger">Freeze the account</button>`;
    show(request, response, {
      title: 'Account',
      body: html`<div class="card"><p>Status: ${frozen ? badge('frozen', 'bad') : badge('normal', 'good')}</p>
<p>${
        frozen
          ? 'Every placement that is authenticated is answered ACCOUNT_STATUS_ERROR. Orders made before go on.'
          : 'Placements are taken. A frozen account answers every authenticated placement with ACCOUNT_STATUS_ERROR.'
      }</p>
${form(response, '/console/account', button)}</div>`,
    });
  });
  router.post('/', async (request, response) => {
    await book.change(parsePatch({ frozen: posted(request, 'frozen') === 'true' }));
    done(response, '/console/account', 'saved');
  });
  return router;
}

const FEES = [
  ['percent', 'Percent of the MTC bought'],
  ['fixed', 'MTC per order'],
  ['borneBy', 'Borne by'],
  ['report', 'A callback tells'],
] as const;

/** The page of the handling fee; the documents say only that there may be one. */
export function feePages({ book }: ConsoleParts): Router {
  const router = Router();
  router.get('/', (request, response) => {
    const { fees } = book.current();
    const same = (texts: readonly string[]): [string, string][] => texts.map((text) => [text, text]);
    const fields = html`<div class="grid">
${FEES.map(([name]) => remembered(name, fees[name], html``))}
${field('Percent of the MTC bought', 'percent', fees.percent, { required: true })}
${field('MTC per order', 'fixed', fees.fixed, { required: true, note: 'On top of the percentage.' })}
${select('Borne by', 'borneBy', same(['merchant', 'payer']), fees.borneBy, 'merchant: kept back from the MTC. payer: part of the price, in fiat.')}
${select('A callback tells', 'report', same(['net', 'gross']), fees.report, 'transactionAmount after (net) or before (gross) a fee the merchant bears.')}
</div><button class="main">Save</button>`;
    show(request, response, {
      title: 'Fees',
      body: html`<p class="lead">The documents say that the amount received “may vary depending on the handling fee configuration” and no more. A fee is frozen in each order when the order is made.</p>
<div class="card">${form(response, '/console/fees', fields)}</div>`,
    });
  });
  router.post('/', async (request, response) => {
    const { fees } = book.current();
    const changed = FEES.filter(([name, label]) => isChanged(request, name, fees[name], label));
    const patch = Object.fromEntries(changed.map(([name]) => [name, posted(request, name).trim()]));
    if (changed.length > 0) await book.change(parsePatch({ fees: patch }));
    done(response, '/console/fees', 'saved');
  });
  return router;
}
