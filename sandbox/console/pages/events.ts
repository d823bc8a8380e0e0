import { Router } from 'express';
import { foreign, html } from '../../html.ts';
import { detailText } from './event-text.ts';
import { field, moment, row, select, show, table } from '../page.ts';
import { beforeOf, older, PAGE } from '../paging.ts';
import { asked, type ConsoleParts } from '../requests.ts';
import { searchEvents } from '../queries.ts';

/** The first parts of the kinds: people search by them. */
const KINDS = ['placement', 'order', 'callback', 'fault', 'settings', 'key', 'advertisement', 'sandbox'];

/** The append-only log, newest first. */
export function eventPages({ pool }: ConsoleParts): Router {
  const router = Router();
  router.get('/', async (request, response) => {
    const number = asked(request, 'order').trim();
    const kind = KINDS.find((each) => each === asked(request, 'kind')) ?? '';
    const events = await searchEvents(pool, { number, kind, before: beforeOf(request), limit: PAGE });
    const choices = [['', 'everything'] as const, ...KINDS.map((each) => [each, each] as const)];
    show(request, response, {
      title: 'Event log',
      body: html`<form method="get" action="/console/events" class="card row">
${field('Order number', 'order', number, { type: 'search' })}${select('About', 'kind', choices, kind)}<button>Show</button></form>
<div class="card">${table(
        'Events, newest first',
        ['Id', 'At (UTC)', 'Kind', 'Order number', 'Details'],
        events.map((event) =>
          row([event.id, moment(event.at), event.kind, foreign(event.externalOrderNumber ?? '–'), detailText(event)]),
        ),
        'Nothing has happened that fits.',
      )}${older('/console/events', { order: number, kind }, events)}</div>`,
    });
  });
  return router;
}
