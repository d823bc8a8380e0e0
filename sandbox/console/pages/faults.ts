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
} from '../../faults/faults.ts';
import { foreign, type Html, html } from '../../html.ts';
import { charactersIn } from '../../plain-text.ts';
import { problemsOf } from '../../control/problems.ts';
import { armScenario, type Scenario, scenarioNamed, SCENARIOS } from '../../faults/scenarios.ts';
import { faultFields, readParameters } from './fault-form.ts';
import { field, form, row, show, table } from '../page.ts';
import { asked, ConsoleProblem, type ConsoleParts, done, idOf, posted } from '../requests.ts';

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

/** One kind of fault with the form that arms it. */
function choice(response: Response, entry: FaultCatalogueEntry, scope: string, isOpen: boolean): Html {
  const fields = html`<input type="hidden" name="kind" value="${entry.kind}"><div class="grid">
${field('Order number', 'scope', scope, { note: 'Empty: every order.' })}
${field('How often', 'remaining', '1', { note: 'Empty: until removed.' })}
${faultFields(entry)}
</div><button>Arm ${entry.kind}</button>`;
  return html`<details class="fault"${isOpen ? html` open` : null}><summary>${entry.title} <span>${entry.description}</span> <code>${entry.kind}</code></summary>
${form(response, PATH, fields)}</details>`;
}

/** Up to this number of kinds, the forms are shown open. */
const FEW = 3;

/** Whether every word of the search is in one of the texts. */
function has(words: string, ...texts: readonly string[]): boolean {
  const all = texts.join(' ').toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** The scenarios; each needs one click. */
function scenarioCard(response: Response, scenarios: readonly Scenario[], scope: string): Html {
  if (scenarios.length === 0) return html``;
  const lines = scenarios.map(({ name, title, description }) =>
    form(
      response,
      `${PATH}/scenario`,
      html`<input type="hidden" name="name" value="${name}"><input type="hidden" name="scope" value="${scope}">
<button>${title}</button> <span class="quiet">${description}</span>`,
      'scenario',
    ),
  );
  const on = scope === '' ? html`the next order` : html`order ${foreign(scope)}`;
  return html`<section class="card" aria-labelledby="scenarios"><h2 id="scenarios">Ready-made, for ${on}</h2>
${lines}</section>`;
}

async function list({ pool }: ConsoleParts, request: Request, response: Response): Promise<void> {
  const faults = await listFaults(pool);
  const scope = Array.from(asked(request, 'order')).slice(0, 128).join('');
  const words = asked(request, 'q').slice(0, 100);
  const found = FAULT_CATALOGUE.filter((entry) => has(words, entry.title, entry.description, entry.kind));
  const scenarios = SCENARIOS.filter((each) => has(words, each.title, each.description, each.name));
  const isOpen = words !== '' && found.length <= FEW;
  const menu = MOMENTS.map(([moment, heading]) => {
    const entries = found.filter((entry) => entry.moment === moment);
    if (entries.length === 0) return html``;
    return html`<section class="card" aria-labelledby="${moment}"><h2 id="${moment}">${heading}</h2>
${entries.map((entry) => choice(response, entry, scope, isOpen))}</section>`;
  });
  show(request, response, {
    title: 'Misbehaviour',
    body: html`<p class="lead">What a provider should never do, on request: for every order or for one. Several at once act together.</p>
${scenarioCard(response, scenarios, scope)}
<form method="get" action="${PATH}" class="card row" role="search">
${scope === '' ? null : html`<input type="hidden" name="order" value="${scope}">`}
${field('Search what can go wrong', 'q', words, { type: 'search', note: 'Words such as late, signature, twice, amount.' })}<button>Search</button>
${words === '' ? null : html`<a href="${PATH}">All ${FAULT_CATALOGUE.length}</a>`}</form>
${words !== '' && found.length + scenarios.length === 0 ? html`<p class="quiet">Nothing is called so.</p>` : null}
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

function scopeOf(request: Request): string {
  const scope = posted(request, 'scope');
  if (charactersIn(scope) > 128) throw new ConsoleProblem(400, 'An order number has at most 128 characters.');
  return scope === '' ? 'global' : scope;
}

function readFault(request: Request): Omit<Fault, 'id'> {
  const entry = FAULT_CATALOGUE.find((each) => each.kind === posted(request, 'kind'));
  if (entry === undefined) throw new ConsoleProblem(400, 'There is no such misbehaviour.');
  const remaining = posted(request, 'remaining').trim();
  const count = often.safeParse(remaining);
  if (remaining !== '' && !count.success) {
    throw new ConsoleProblem(400, 'How often must be a whole number of at least 1.');
  }
  return {
    kind: entry.kind,
    scope: scopeOf(request),
    remaining: remaining === '' ? null : count.data!,
    params: checked(entry.kind, readParameters(request, entry)),
  };
}

function checked(kind: string, params: Record<string, unknown>): unknown {
  try {
    return faultKind(kind)!.parse(params);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    throw new ConsoleProblem(400, `${problemsOf(error).join('; ')}.`);
  }
}

/** The menu of faults. */
export function faultPages(parts: ConsoleParts): Router {
  const { pool } = parts;
  const router = Router();
  router.get('/', (request, response) => list(parts, request, response));
  router.post('/', async (request, response) => {
    await addFault(pool, readFault(request));
    done(response, PATH, 'armed');
  });
  router.post('/scenario', async (request, response) => {
    const scenario = scenarioNamed(posted(request, 'name'));
    if (scenario === undefined) throw new ConsoleProblem(400, 'There is no such scenario.');
    await armScenario(pool, scenario, scopeOf(request));
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
