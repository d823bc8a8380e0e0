import { type Request, type Response, Router } from 'express';
import type { z } from 'zod';
import {
  advertisementPatchSchema,
  type AdvertisementView,
  changeAdvertisement,
  createAdvertisement,
  type Currency,
  CURRENCIES,
  listAdvertisements,
  newAdvertisementSchema,
} from '../../orders/advertisements.ts';
import { foreign, grouped, type Html, html } from '../../html.ts';
import { problemsOf } from '../../control/problems.ts';
import { badge, field, type FieldOptions, form, remembered, row, select, show, table } from '../page.ts';
import { ConsoleProblem, type ConsoleParts, done, isChanged, posted } from '../requests.ts';
import { parsePatch } from './settings-form.ts';

const PATH = '/console/advertisements';
const YES_NO = [['true', 'yes'] as const, ['false', 'no'] as const];
/** PostgreSQL's code of a violated check constraint, here of the two limits. */
const CHECK_VIOLATION = '23514';

const orNull = (text: string): string | null => (text === '' ? null : text);

/** Reads the form; the note of a field defines the meaning of an empty value. */
function readForm(request: Request) {
  const text = (name: string): string => posted(request, name).trim();
  return {
    unitPrice: orNull(text('unitPrice')),
    seller: text('seller'),
    minPrice: text('minPrice') === '' ? '0' : text('minPrice'),
    maxPrice: orNull(text('maxPrice')),
    remaining: orNull(text('remaining')),
    paymentMethods: text('paymentMethods')
      .split(',')
      .map((method) => method.trim())
      .filter((method) => method !== ''),
    active: text('active') === 'true',
  };
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ConsoleProblem(400, `${problemsOf(parsed.error, (name) => LABELS[name] ?? name).join('; ')}.`);
}

/** Turns the database's error about contradicting limits into a {@link ConsoleProblem}. */
async function orLimits<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if ((error as { code?: string }).code !== CHECK_VIOLATION) throw error;
    throw new ConsoleProblem(400, 'The upper limit must not be below the lower one.');
  }
}

const LABELS: Readonly<Record<string, string>> = {
  unitPrice: 'Unit price, fiat per MTC',
  remaining: 'Remaining MTC',
  minPrice: 'Lowest order, in fiat',
  maxPrice: 'Highest order, in fiat',
  seller: 'Seller',
  paymentMethods: 'Payment methods',
  active: 'Active',
};

type Texts = Readonly<Record<keyof ReturnType<typeof readForm>, string>>;

/** Returns the values of the fields in an offer's form. */
const textsOf = (offer: AdvertisementView): Texts => ({
  unitPrice: offer.followsPriceSetting ? '' : (offer.unitPrice ?? ''),
  remaining: offer.remaining ?? '',
  minPrice: offer.minPrice,
  maxPrice: offer.maxPrice ?? '',
  seller: offer.seller,
  paymentMethods: offer.paymentMethods.join(', '),
  active: String(offer.active),
});

const NEW: Texts = {
  unitPrice: '',
  remaining: '',
  minPrice: '0',
  maxPrice: '',
  seller: 'Sandbox Seller',
  paymentMethods: 'bank transfer',
  active: 'true',
};

function fields(texts: Texts): Html {
  const input = (name: keyof Texts, options: FieldOptions = {}) =>
    remembered(name, texts[name], field(LABELS[name]!, name, texts[name], options));
  return html`<div class="grid">
${input('unitPrice', { note: 'Empty: follows the configured price of the currency.' })}
${input('remaining', { note: 'Empty: without end.' })}
${input('minPrice')}
${input('maxPrice', { note: 'Empty: no limit.' })}
${input('seller', { required: true })}
${input('paymentMethods', { required: true, note: 'Separated by commas.' })}
${remembered('active', texts.active, select('Active', 'active', YES_NO, texts.active))}
</div>`;
}

const priceField = (currency: Currency, price: string): Html =>
  remembered(currency, price, field(`${currency} per MTC`, currency, price, { required: true }));

function line(response: Response, offer: AdvertisementView): Html {
  const mtc = (amount: string | null): string => (amount === null ? 'without end' : `${grouped(amount)} MTC`);
  const limits =
    offer.maxPrice === null
      ? `from ${grouped(offer.minPrice)}`
      : `${grouped(offer.minPrice)} to ${grouped(offer.maxPrice)}`;
  const price = offer.unitPrice === null ? 'none' : `${offer.unitPrice} ${offer.currencyCode}/MTC`;
  return row([
    html`<span class="mono">${offer.code}</span>`,
    foreign(offer.seller),
    html`${price}${offer.followsPriceSetting ? html`<div class="quiet">configured price</div>` : null}`,
    `${limits} ${offer.currencyCode}`,
    html`${mtc(offer.remaining)}<div class="quiet">${grouped(offer.reserved)} reserved, ${grouped(offer.sold)} sold</div>`,
    html`${offer.paymentMethods.map((method) => html`<div>${foreign(method)}</div>`)}`,
    offer.active ? badge('active', 'good') : badge('inactive', 'bad'),
    html`<details><summary>Change</summary>${form(response, `${PATH}/${encodeURIComponent(offer.code)}`, html`${fields(textsOf(offer))}<button>Save</button>`)}</details>`,
  ]);
}

/** The pages of the sellers' offers; an order gets the lowest price that can fill it. */
export function advertisementPages({ pool, book }: ConsoleParts): Router {
  const router = Router();
  router.get('/', async (request, response) => {
    const offers = await listAdvertisements(pool, book.current().prices);
    const currencies = CURRENCIES.map((each) => [each, each] as const);
    show(request, response, {
      title: 'Advertisements',
      body: html`<p class="lead">An order is matched with the active offer of its currency that has the lowest unit price and can fill it. Orders made before keep their price.</p>
<div class="card">${table(
        'Offers, oldest first',
        ['Code', 'Seller', 'Unit price', 'Order limits', 'Remaining', 'Payment methods', 'State', ''],
        offers.map((offer) => line(response, offer)),
        'There is no offer: every placement is answered NO_ADVERTISEMENT.',
      )}</div>
<section class="card" aria-labelledby="prices"><h2 id="prices">Configured prices</h2>
${form(response, `${PATH}/prices`, html`<div class="grid">${CURRENCIES.map((each) => priceField(each, book.current().prices[each]))}</div><p class="quiet">none withdraws every offer that follows it.</p><button>Save</button>`)}</section>
<section class="card" aria-labelledby="add"><h2 id="add">Add an offer</h2>
${form(response, PATH, html`${select('Currency', 'currencyCode', currencies, 'CNY')}${fields(NEW)}<button class="main">Add</button>`)}</section>`,
    });
  });
  router.post('/', async (request, response) => {
    const offer = check(newAdvertisementSchema, {
      ...readForm(request),
      currencyCode: posted(request, 'currencyCode'),
    });
    await orLimits(createAdvertisement(pool, book.current().prices, offer));
    done(response, PATH, 'saved');
  });
  router.post('/prices', async (request, response) => {
    const now = book.current().prices;
    const changed = CURRENCIES.filter((each) => isChanged(request, each, now[each], `${each} per MTC`));
    const prices = Object.fromEntries(changed.map((each) => [each, posted(request, each).trim()]));
    if (changed.length > 0) await book.change(parsePatch({ prices }));
    done(response, PATH, 'saved');
  });
  router.post('/:code', async (request, response) => {
    const { code } = request.params;
    const { prices } = book.current();
    const offer = (await listAdvertisements(pool, prices)).find((each) => each.code === code);
    if (offer === undefined) throw new ConsoleProblem(404, 'There is no such advertisement.');
    const now = textsOf(offer);
    const names = (Object.keys(now) as (keyof Texts)[]).filter((name) =>
      isChanged(request, name, now[name], LABELS[name]!),
    );
    const said = readForm(request);
    const patch = check(advertisementPatchSchema, Object.fromEntries(names.map((name) => [name, said[name]])));
    await orLimits(changeAdvertisement(pool, prices, code, patch));
    done(response, PATH, 'saved');
  });
  return router;
}
