import { type Request, type Response, Router } from 'express';
import { z } from 'zod';
import {
  addFault,
  type Fault,
  FAULT_CATALOGUE,
  type FaultCatalogueEntry,
  faultKind,
  listFaults,
  removeFaults,
} from '../faults.ts';
import { foreign, type Html, html } from '../html.ts';
import { faultFields, readParameters } from './fault-form.ts';
import { field, form, row, show, table } from './page.ts';
import { asked, ConsoleProblem, type ConsoleParts, done, idOf, posted } from './parts.ts';

const PATH = '/console/faults';

const MOMENTS: readonly (readonly [moment: FaultCatalogueEntry['moment'], heading: string])[] = [
  ['placement', 'When an order is placed'],
  ['release', 'When the currency is released: which callbacks there are'],
  ['attempt', 'At each attempt: what one callback looks like'],
];

function armed(response: Response, fault: Fault): Html {
  const often =
    fault.remaining === null ? 'until removed' : fault.remaining === 1 ? 'once' : `${fault.remaining} times`;
  return row([
    fault.id,
    fault.kind,
    fault.scope === 'global' ? 'every order' : foreign(fault.scope),
    html`<span class="mono">${foreign(JSON.stringify(fault.params))}</span>`,
    often,
    form(response, `${PATH}/${fault.id}/remove`, html`<button>Remove</button>`),
  ]);
}

/** One kind with the form that arms it. */
function choice(response: Response, entry: FaultCatalogueEntry, scope: string): Html {
  const fields = html`<input type="hidden" name="kind" value="${entry.kind}"><div class="grid">
${field('Order number', 'scope', scope, { note: 'Empty: every order.' })}
${field('How often', 'remaining', '1', { note: 'Empty: until removed.' })}
${faultFields(entry)}
</div><button>Arm ${entry.kind}</button>`;
  return html`<details class="fault"><summary>${entry.kind} <span>${entry.description}</span></summary>
${form(response, PATH, fields)}</details>`;
}

async function list({ pool }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const faults = await listFaults(pool);
  const scope = asked(request, 'order').slice(0, 128);
  const menu = MOMENTS.map(
    ([moment, heading]) => html`<section class="card" aria-labelledby="${moment}"><h2 id="${moment}">${heading}</h2>
${FAULT_CATALOGUE.filter((entry) => entry.moment === moment).map((entry) => choice(response, entry, scope))}</section>`,
  );
  show(request, response, {
    title: 'Misbehaviour',
    body: html`<p class="lead">What a provider should never do, on request: for every order or for one. Several at once act together.</p>
<div class="card">${table(
      'Armed',
      ['Id', 'Kind', 'Acts on', 'Parameters', 'Still acts', ''],
      faults.map((fault) => armed(response, fault)),
      'Nothing is armed: the sandbox behaves.',
    )}
${faults.length > 1 ? form(response, `${PATH}/remove`, html`<button class="danger">Remove all</button>`) : null}</div>
${menu}`,
  });
}

const often = z.coerce.number().int().min(1).max(2_147_483_647);

function readFault(request: Request): Omit<Fault, 'id'> {
  const entry = FAULT_CATALOGUE.find((each) => each.kind === posted(request, 'kind'));
  if (entry === undefined) throw new ConsoleProblem(400, 'There is no such misbehaviour.');
  const scope = posted(request, 'scope');
  if (scope.length > 128) throw new ConsoleProblem(400, 'An order number has at most 128 characters.');
  const remaining = posted(request, 'remaining').trim();
  const count = often.safeParse(remaining);
  if (remaining !== '' && !count.success) {
    throw new ConsoleProblem(400, 'How often must be a whole number of at least 1.');
  }
  return {
    kind: entry.kind,
    scope: scope === '' ? 'global' : scope,
    remaining: remaining === '' ? null : count.data!,
    params: checked(entry.kind, readParameters(request, entry)),
  };
}

function checked(kind: string, params: Record<string, unknown>): unknown {
  try {
    return faultKind(kind)!.parse(params);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    throw new ConsoleProblem(400, error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
  }
}

/** The misbehaviour menu. */
export function faultPages(parts: ConsoleParts): Router {
  const { pool } = parts;
  const router = Router();
  router.get('/', (request, response) => list(parts, request, response));
  router.post('/', async (request, response) => {
    await addFault(pool, readFault(request));
    done(response, PATH, 'armed');
  });
  router.post('/remove', async (_request, response) => {
    await removeFaults(pool, null);
    done(response, PATH, 'removed');
  });
  router.post('/:id/remove', async (request, response) => {
    await removeFaults(pool, idOf(request));
    done(response, PATH, 'removed');
  });
  return router;
}
