import { type Request, type Response, Router } from 'express';
import { type DeliveryState, retryNow } from '../../callbacks/deliveries.ts';
import { foreign, Html, html } from '../../html.ts';
import { type AttemptView, type DeliveryView, viewDeliveries } from '../../orders/order-view.ts';
import { RETRIES } from '../../wire/retry-schedule.ts';
import { badge, form, moment, row, select, show, table } from '../page.ts';
import { beforeOf, older, PAGE } from '../paging.ts';
import { asked, ConsoleProblem, type ConsoleParts, done, idOf, posted } from '../requests.ts';
import { type DeliveryLine, searchDeliveries } from '../queries.ts';

const STATES: readonly DeliveryState[] = ['PENDING', 'ACKNOWLEDGED', 'FAILED'];
const TONES = { PENDING: 'warn', ACKNOWLEDGED: 'good', FAILED: 'bad' } as const;
const OUTCOME_TONES: Readonly<Record<string, 'good' | 'bad' | 'warn'>> = {
  ACKNOWLEDGED: 'good',
  REFUSED: 'bad',
  NO_ANSWER: 'bad',
  SENDING: 'warn',
};

/** The documents call FAILED "Callback Failed". */
const stateBadge = (state: DeliveryState): Html => badge(state === 'FAILED' ? 'Callback Failed' : state, TONES[state]);

const stepOf = (attempt: AttemptView): string => {
  const step =
    attempt.retry === 0
      ? 'first delivery'
      : attempt.retry > RETRIES
        ? 'retry by hand'
        : `retry ${attempt.retry} of ${RETRIES}`;
  return attempt.repeated ? `${step}, once more` : step;
};

/** The merchant's response, or the reason why there is none. */
function answerOf(attempt: AttemptView | undefined): Html {
  if (attempt === undefined) return html`not sent yet`;
  const { httpStatus, contentType, answerPrefix, problem, tookMs } = attempt;
  return html`${httpStatus === null ? null : html`HTTP ${httpStatus} `}${contentType === null || contentType === '' ? null : html`<span class="quiet">${foreign(contentType)}</span> `}
${answerPrefix === null || answerPrefix === '' ? null : html`<span class="mono">${foreign(answerPrefix)}</span>`}
${problem === null ? null : html`<div>${foreign(problem)}</div>`}
${tookMs === null ? null : html`<div class="quiet">${tookMs} ms</div>`}`;
}

const attemptRow = (attempt: AttemptView): Html =>
  row([
    stepOf(attempt),
    moment(attempt.startedAt),
    badge(attempt.outcome, OUTCOME_TONES[attempt.outcome] ?? ''),
    html`${answerOf(attempt)}<details><summary>what was sent</summary><pre>${foreign(attempt.body)}</pre></details>`,
  ]);

const retryButton = (response: Response, delivery: DeliveryView, back: string): Html =>
  form(
    response,
    `/console/deliveries/${delivery.id}/retry`,
    html`<input type="hidden" name="back" value="${back}"><button>Retry now</button>`,
  );

/** One delivery with all its attempts. */
export function deliveryCard(response: Response, delivery: DeliveryView, back: string): Html {
  return html`<section class="card" aria-label="Callback delivery ${delivery.id}">
<div class="row middle"><h2>Callback of <span class="mono">${delivery.transactionCode}</span></h2>${stateBadge(delivery.state)}</div>
<p>${delivery.progress}${delivery.sending ? ', being sent this moment' : ''}</p>
${retryButton(response, delivery, back)}
${table(
  'Attempts',
  ['Step', 'Sent (UTC)', 'Outcome', 'Answer'],
  delivery.attempts.map(attemptRow),
  'Nothing has been sent yet.',
)}
</section>`;
}

function line(response: Response, of: DeliveryLine, delivery: DeliveryView): Html {
  const last = delivery.attempts.at(-1);
  return row([
    html`<a href="/console/orders/${of.orderId}">${foreign(of.externalOrderNumber)}</a><div class="mono">${delivery.transactionCode}</div>`,
    stateBadge(delivery.state),
    delivery.progress,
    moment(delivery.nextAttemptAt),
    html`${answerOf(last)}`,
    retryButton(response, delivery, '/console/deliveries'),
  ]);
}

async function list({ pool }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const state = STATES.find((each) => each === asked(request, 'state')) ?? null;
  const lines = await searchDeliveries(pool, { state, before: beforeOf(request), limit: PAGE });
  const views = await viewDeliveries(pool, [...new Set(lines.map((each) => each.orderId))]);
  const byId = new Map(views.map((view) => [view.id, view]));
  const rows = lines.flatMap((each) => {
    const view = byId.get(each.id);
    return view === undefined ? [] : [line(response, each, view)];
  });
  const choices = [['', 'any state'] as const, ...STATES.map((each) => [each, each] as const)];
  show(request, response, {
    title: 'Callbacks',
    body: html`<form method="get" action="/console/deliveries" class="card row">
${select('State', 'state', choices, state ?? '')}<button>Show</button></form>
<div class="card">${table(
      'Callback deliveries, newest first',
      ['Order', 'State', 'Progress', 'Next attempt (UTC)', 'Last answer', ''],
      rows,
      'No callback yet: the first is due when an order is released.',
    )}${older('/console/deliveries', { state: state ?? '' }, lines)}</div>`,
  });
}

/** The pages of the callback deliveries of all orders. */
export function deliveryPages(parts: ConsoleParts): Router {
  const { pool, loop } = parts;
  const router = Router();
  router.get('/', (request, response) => list(parts, request, response));
  router.post('/:id/retry', async (request, response) => {
    if (!(await retryNow(pool, idOf(request)))) {
      throw new ConsoleProblem(409, 'The callback does not exist or is being sent this moment.');
    }
    loop.wake();
    const back = posted(request, 'back');
    done(response, /^\/console\/orders\/\d+$/.test(back) ? back : '/console/deliveries', 'retried');
  });
  return router;
}
