import { type Request, Router } from 'express';
import { foreign, grouped, type Html, html } from '../../html.ts';
import { statementCsv, statementDay, type StatementLine, statementOf } from '../../orders/statement.ts';
import { field, moment, row, show, table } from '../page.ts';
import { asked, ConsoleProblem, type ConsoleParts } from '../requests.ts';

const PATH = '/console/statement';

/** The UTC day in the URL, else today. */
function dayOf(request: Request): string {
  const day = asked(request, 'day');
  if (day === '') return new Date().toISOString().slice(0, 10);
  const parsed = statementDay.safeParse(day);
  if (!parsed.success) throw new ConsoleProblem(400, 'The day must be a UTC day such as 2026-01-31.');
  return parsed.data;
}

const lineOf = (line: StatementLine): Html =>
  row([
    moment(line.finishedAt),
    foreign(line.externalOrderNumber),
    html`<span class="mono">${line.transactionCode}</span>`,
    html`${grouped(line.paymentPrice)} ${line.currencyCode}<div class="quiet">fee ${grouped(line.feePrice)}</div>`,
    html`${grouped(line.mtcAmount)} MTC<div class="quiet">fee ${grouped(line.feeMtc)}</div>`,
    html`${grouped(line.receivedAmount)} MTC`,
    html`${grouped(line.transactionAmount)} MTC`,
  ]);

/** Transactions that ended on a day, delivered or not. The documents define no statement, so the form is ours. */
export function statementPages({ pool }: ConsoleParts): Router {
  const router = Router();
  router.get('/', async (request, response) => {
    const day = dayOf(request);
    const lines = await statementOf(pool, day);
    show(request, response, {
      title: 'Statement',
      body: html`<form method="get" action="${PATH}" class="card row">${field('Day (UTC)', 'day', day, { type: 'date' })}<button>Show</button>
<a href="${PATH}/export?day=${day}&amp;format=csv">CSV</a> <a href="${PATH}/export?day=${day}&amp;format=json">JSON</a></form>
<div class="card">${table(
        `Transactions that ended on ${day}`,
        ['Finished (UTC)', 'Order number', 'Transaction code', 'Paid', 'Bought', 'Received', 'Told'],
        lines.map(lineOf),
        'Nothing ended on this day.',
      )}</div>`,
    });
  });
  router.get('/export', async (request, response) => {
    const day = dayOf(request);
    const lines = await statementOf(pool, day);
    if (asked(request, 'format') === 'csv') {
      response.attachment(`statement-${day}.csv`).type('text/csv').send(statementCsv(lines));
    } else response.attachment(`statement-${day}.json`).json({ day, lines });
  });
  return router;
}
