import { type Request, type Response, Router } from 'express';
import { parseDuration } from '../../duration.ts';
import { type Html, html } from '../../html.ts';
import { createKey, disableKey, type KeyPair, type KeyView, listKeys, rotateKeys, secretOf } from '../../keys.ts';
import { badge, field, form, moment, row, show, table, USERNAME } from '../page.ts';
import { ConsoleProblem, type ConsoleParts, done, posted } from '../requests.ts';
import { isPassword } from '../login/password.ts';

const PATH = '/console/tokens';
/** Longer than any sensible overlap, and within the range of a timestamp. */
const MAX_OVERLAP_MS = 366 * 86_400_000;

/** A key pair in fields that one click selects whole; the only place where a page shows a secret. */
const pairCard = (
  heading: string,
  pair: KeyPair,
  note: string,
): Html => html`<section class="card" aria-labelledby="pair">
<h2 id="pair">${heading}</h2>
<p class="message" role="status">${note}</p>
${field('Access key', 'accessKey', pair.accessKey, { readonly: true, mono: true })}
${field('Secret key', 'secretKey', pair.secretKey, { readonly: true, mono: true })}
</section>`;

function line(response: Response, key: KeyView): Html {
  const ends = key.state === 'active' && key.disabledAt !== null;
  const path = `${PATH}/${encodeURIComponent(key.accessKey)}`;
  const reveal = html`<details><summary>View secret key</summary>
${form(response, `${path}/reveal`, html`${USERNAME}${field('Console password', 'password', '', { type: 'password', required: true })}<button>View</button>`)}</details>`;
  const disable = html`<details><summary>Disable</summary>
<p>Requests with this key fail from then on. There is no way back.</p>
${form(response, `${path}/disable`, html`<button class="danger">Disable this key</button>`)}</details>`;
  return row([
    html`<span class="mono select">${key.accessKey}</span>`,
    ends ? badge('active until its end', 'warn') : badge(key.state, key.state === 'active' ? 'good' : 'bad'),
    moment(key.createdAt),
    moment(key.disabledAt),
    key.state === 'active' ? html`${reveal}${disable}` : null,
  ]);
}

async function list(
  parts: ConsoleParts,
  request: Request,
  response: Response,
  pair: Html | null = null,
): Promise<void> {
  const keys = await listKeys(parts.pool);
  show(request, response, {
    title: 'Merchant Service – API Token Management',
    body: html`${pair}
<div class="card">${table(
      'Keys, newest first',
      ['Access key', 'State', 'Created (UTC)', 'Ends or ended (UTC)', ''],
      keys.map((key) => line(response, key)),
      'There is no key.',
    )}</div>
<div class="grid">
<section class="card" aria-labelledby="create"><h2 id="create">Create a key</h2>
<p>A further key, in force beside the others. Its secret is shown right away.</p>
${form(response, PATH, html`<button class="main">Create a key</button>`)}</section>
<section class="card" aria-labelledby="rotate"><h2 id="rotate">Rotate</h2>
<p>Creates a key and sets an end to all others. During the overlap old and new are good, so that nothing in flight fails.</p>
${form(response, `${PATH}/rotate`, html`${field('Overlap', 'overlap', '24h', { required: true, note: 'Such as 0s, 30m, 24h or 7d; not divided by the speed.' })}<button>Rotate</button>`)}</section>
</div>`,
  });
}

/** Shows a key's secret after the password is entered again: a session left open is not enough. */
async function reveal(parts: ConsoleParts, request: Request, response: Response): Promise<void> {
  const { pool, limit } = parts;
  const address = request.ip ?? '';
  if (!limit.admit(address))
    throw new ConsoleProblem(429, 'Too many wrong passwords. Try again in a quarter of an hour.');
  if (!(await isPassword(pool, posted(request, 'password')))) throw new ConsoleProblem(403, 'The password is wrong.');
  limit.forgive(address);
  const accessKey = String(request.params['accessKey']);
  const secretKey = await secretOf(pool, accessKey);
  if (secretKey === null) throw new ConsoleProblem(404, 'There is no such key in force.');
  const note = 'Keep it out of code, chats and tickets. This page is not stored.';
  await list(parts, request, response, pairCard('The key', { accessKey, secretKey }, note));
}

/** "Merchant Service – API Token Management", where the documents say keys are viewed and managed. */
export function tokenPages(parts: ConsoleParts): Router {
  const { pool } = parts;
  const router = Router();
  router.get('/', (request, response) => list(parts, request, response));
  router.post('/', async (request, response) => {
    const pair = await createKey(pool);
    await list(parts, request, response, pairCard('The new key', pair, 'Copy the secret key now.'));
  });
  router.post('/rotate', async (request, response) => {
    const overlapMs = parseDuration(posted(request, 'overlap').trim());
    if (overlapMs === null || overlapMs > MAX_OVERLAP_MS) {
      throw new ConsoleProblem(400, 'Overlap must be a duration such as 0s, 30m, 24h or 7d, at most 366d.');
    }
    const pair = await rotateKeys(pool, overlapMs);
    const note = `Copy the secret key now. The other keys end at ${pair.othersDisabledAt}.`;
    await list(parts, request, response, pairCard('The new key', pair, note));
  });
  router.post('/:accessKey/reveal', (request, response) => reveal(parts, request, response));
  router.post('/:accessKey/disable', async (request, response) => {
    if (!(await disableKey(pool, request.params.accessKey))) {
      throw new ConsoleProblem(409, 'There is no such key in force.');
    }
    done(response, PATH, 'disabled');
  });
  return router;
}
