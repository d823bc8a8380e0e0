import { z } from 'zod';

/** What one can say at the terminal, and what is shown there. The API decides; this only asks it. */

export interface ReviewOptions {
  readonly reason?: string | undefined;
  readonly closed?: boolean | undefined;
  readonly keep?: boolean | undefined;
  readonly to?: string | undefined;
  readonly deposit?: string | undefined;
  readonly posting?: string | undefined;
}

export interface Terminal {
  out(line: string): void;
  error(line: string): void;
}

export const USAGE = `npm run reviews -- list [--closed] [--reason REASON]
npm run reviews -- show CASE
npm run reviews -- propose CASE credit|reject|reverse --reason TEXT [--keep] [--to ORDER_NUMBER]
npm run reviews -- confirm CASE PROPOSAL
npm run reviews -- withdraw CASE PROPOSAL --reason TEXT
npm run reviews -- doubt --deposit ORDER_NUMBER | --posting POSTING --reason TEXT

API_URL says where the private API is, API_KEY is your personal key with the scope reviews:decide.`;

const proposal = z.object({
  id: z.string(),
  decision: z.string(),
  reason: z.string(),
  operator: z.string(),
  keep: z.boolean(),
  toDeposit: z.string().nullable(),
  at: z.string(),
});
const step = z.object({
  step: z.string(),
  operator: z.string(),
  at: z.string(),
  decision: z.string().nullable(),
  reason: z.string().nullable(),
});
const reviewCase = z.object({
  id: z.string(),
  state: z.string(),
  reason: z.string(),
  detail: z.string(),
  openedAt: z.string(),
  externalOrderNumber: z.string(),
  wallet: z.string().nullable(),
  transactionCode: z.string().nullable(),
  transactionAmount: z.string().nullable(),
  currencyCode: z.string().nullable(),
  paymentPrice: z.string().nullable(),
  receivedAt: z.string(),
  standing: z.string().nullable(),
  allowed: z.array(z.string()),
  needsTwo: z.boolean(),
  proposal: proposal.nullable(),
  decision: z.string().nullable(),
  decidedBy: z.string().nullable(),
  decidedAt: z.string().nullable(),
  postingId: z.string().nullable(),
  steps: z.array(step).optional(),
});
type ReviewCase = z.infer<typeof reviewCase>;
const page = z.object({ items: z.array(reviewCase), nextCursor: z.string().nullable() });

/** Said wrongly at the terminal; nothing was asked. */
class Misused extends Error {}

/** Does what `words` say and answers the exit code: 0 done, 1 the API refused, 2 not understood. */
export async function runReviews(
  words: readonly string[],
  options: ReviewOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<number> {
  try {
    await run(words, options, env, terminal);
    return 0;
  } catch (error) {
    if (error instanceof Misused) {
      terminal.error(`${error.message}\n\n${USAGE}`);
      return 2;
    }
    terminal.error(error instanceof Error ? error.message : 'failed');
    return 1;
  }
}

async function run(
  [command, id, third]: readonly string[],
  options: ReviewOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<void> {
  const ask = caller(env);
  const path = (suffix = '') => `/v1/reviews/${encodeURIComponent(needed(id, 'CASE'))}${suffix}`;
  const decided = async (suffix: string, body: unknown) =>
    terminal.out(show(reviewCase.parse(await ask('POST', path(suffix), body))));
  switch (command) {
    case 'list':
      return list(ask, options, terminal);
    case 'show':
      return terminal.out(show(reviewCase.parse(await ask('GET', path()))));
    case 'propose':
      return decided('/propose', {
        decision: needed(third, 'credit, reject or reverse'),
        reason: needed(options.reason, '--reason'),
        ...(options.keep === true ? { keep: true } : {}),
        ...(options.to === undefined ? {} : { toDeposit: options.to }),
      });
    case 'confirm':
      return decided('/confirm', { proposal: needed(third, 'PROPOSAL') });
    case 'withdraw':
      return decided('/withdraw', {
        proposal: needed(third, 'PROPOSAL'),
        reason: needed(options.reason, '--reason'),
      });
    case 'doubt': {
      const about =
        options.posting === undefined
          ? { externalOrderNumber: needed(options.deposit, '--deposit or --posting') }
          : { postingId: options.posting };
      const body = { ...about, reason: needed(options.reason, '--reason') };
      return terminal.out(show(reviewCase.parse(await ask('POST', '/v1/reviews', body))));
    }
    default:
      throw new Misused(command === undefined ? 'what shall be done?' : `there is no ${command}`);
  }
}

type Ask = (method: string, path: string, body?: unknown) => Promise<unknown>;

async function list(ask: Ask, options: ReviewOptions, terminal: Terminal): Promise<void> {
  const filter = new URLSearchParams({ state: options.closed === true ? 'closed' : 'open', limit: '200' });
  if (options.reason !== undefined) filter.set('reason', options.reason);
  let count = 0;
  for (let next: string | null = null; ; ) {
    if (next !== null) filter.set('cursor', next);
    const { items, nextCursor } = page.parse(await ask('GET', `/v1/reviews?${filter.toString()}`));
    for (const found of items) terminal.out(line(found));
    count += items.length;
    next = nextCursor;
    if (next === null) break;
  }
  terminal.out(count === 1 ? '1 case' : `${count} cases`);
}

const money = (found: ReviewCase): string =>
  found.transactionAmount === null
    ? 'no amount to be read'
    : `${found.transactionAmount} MTC for ${found.paymentPrice} ${found.currencyCode}`;

function line(found: ReviewCase): string {
  const waits =
    found.proposal === null
      ? (found.decidedBy ?? 'no proposal')
      : `${found.proposal.decision} proposed by ${found.proposal.operator}`;
  return [found.openedAt, found.id, found.reason, money(found), found.wallet ?? 'no wallet', waits].join('  ');
}

function show(found: ReviewCase): string {
  const lines: [string, string | null][] = [
    ['case', `${found.id} (${found.state})`],
    ['reason', found.detail === '' ? found.reason : `${found.reason}: ${found.detail}`],
    ['deposit', found.externalOrderNumber],
    ['wallet', found.wallet],
    ['money', money(found)],
    ['transaction', found.transactionCode],
    ['received', found.receivedAt],
    ['in the books', found.standing],
    ['may be decided', found.allowed.join(', ') || null],
    ['takes', found.needsTwo ? 'two people' : 'one person'],
    ...(found.proposal === null ? [] : describeProposal(found.proposal)),
    [
      'decided',
      found.decision === null
        ? null
        : `${found.decision} by ${found.decidedBy} at ${found.decidedAt}, posting ${found.postingId ?? 'none'}`,
    ],
    ...(found.steps ?? []).map((taken): [string, string] => [
      'step',
      [taken.at, taken.operator, taken.step, taken.decision, taken.reason].filter((word) => word !== null).join('  '),
    ]),
  ];
  return lines.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(15)} ${value}`])).join('\n');
}

function describeProposal(waiting: z.infer<typeof proposal>): [string, string][] {
  const kept = waiting.keep ? ', kept in suspense' : '';
  const to = waiting.toDeposit === null ? '' : `, to the wallet of ${waiting.toDeposit}`;
  return [
    ['proposal', `${waiting.id}: ${waiting.decision}${kept}${to}, by ${waiting.operator} at ${waiting.at}`],
    ['its reason', waiting.reason],
  ];
}

function needed(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new Misused(`${name} is missing`);
  return value;
}

const TIMEOUT_MS = 15_000;
const problem = z.object({ code: z.string(), detail: z.string() });

/** Calls the API; throws with the API's own words when it refuses. */
function caller(env: Readonly<Record<string, string | undefined>>): Ask {
  const base = needed(env['API_URL'], 'API_URL');
  const key = needed(env['API_KEY'], 'API_KEY');
  return async (method, path, body) => {
    const response = await fetch(new URL(path, base), {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (response.ok) return answer;
    const told = problem.safeParse(answer);
    throw new Error(told.success ? `${told.data.code}: ${told.data.detail}` : `the API answered ${response.status}`);
  };
}
