import { contentClasses, REFLECTION_CLASSES } from './messages/contents.ts';
import { findTraces, type Roster } from './ground/evidence.ts';
import type { Genuine } from './messages/genuine.ts';
import type { AttackClass, Holdings } from './ground/holdings.ts';
import type { Random } from './random.ts';
import { SHAPE_CLASSES } from './messages/shapes.ts';
import { forgeSignature, SIGNATURE_CLASSES } from './messages/signatures.ts';
import { guessPath, TOKEN_CLASSES } from './messages/tokens.ts';
import { compose, type Ticket, type Victim } from './ground/victims.ts';
import { inParallel, type Reply, type Wire } from './ground/wire.ts';
import type { World } from './ground/world.ts';

/** The results of one class. */
export interface ClassReport {
  readonly series: string;
  readonly name: string;
  readonly rows: readonly string[];
  attempts: number;
  /** The count of each status; 0 is a connection closed without a response. */
  readonly answers: Record<string, number>;
  /** Attempts that were acknowledged, stored, or not refused as required. */
  accepted: number;
  /** Whether the untouched original was accepted. */
  control: boolean;
  /** Found traces that must not be there. */
  readonly found: string[];
}

export interface Arena {
  readonly world: World;
  readonly wire: Wire;
  readonly genuine: Genuine;
  readonly roster: Roster;
  readonly random: Random;
  /** Every different response with status 401: there has to be one. */
  readonly unauthorized: Set<string>;
}

interface Series {
  readonly name: string;
  readonly classes: readonly AttackClass[];
  /** The parts of the target's message that this attacker has. */
  base(holdings: Omit<Holdings, 'base'>): Holdings['base'];
  /** A signature this attacker may put under a message. */
  ticket(arena: Arena): Ticket;
  /** Targets worth an attack. */
  targets(roster: Roster): readonly Victim[];
}

const ownOrGuessed = (holdings: Holdings) => (holdings.random.int(2) === 0 ? holdings.own.path : guessPath(holdings));
const untouched = ({ target, ticket }: Omit<Holdings, 'base'>) => target.callback?.body ?? compose(target.data, ticket);

/** Every ticket of the run, from either direction. */
function capturedTicket({ roster, random }: Arena): Ticket {
  const { outbound, callback } = random.pick([...roster.open, ...roster.settled]);
  return callback !== null && random.int(2) === 0 ? callback.ticket : outbound;
}

/** All signatures and bodies, in both directions, and no token of the target's. */
const SIGNATURES: Series = {
  name: 'signatures',
  classes: [
    ...TOKEN_CLASSES,
    ...REFLECTION_CLASSES,
    ...SHAPE_CLASSES,
    ...contentClasses((holdings, say) => ({ path: ownOrGuessed(holdings), body: say(holdings.ticket) })),
  ],
  base: (holdings) => ({
    path: ownOrGuessed({ ...holdings, base: { path: '', body: '' } }),
    body: untouched(holdings),
  }),
  ticket: capturedTicket,
  targets: ({ open, settled }) => [...open, ...settled],
};

/** All tokens, and no signature of the provider's. */
const TOKENS: Series = {
  name: 'tokens',
  classes: [
    ...SIGNATURE_CLASSES,
    ...SHAPE_CLASSES,
    ...contentClasses(({ target, ticket }, say) => ({ path: target.path, body: say(ticket) })),
  ],
  base: (holdings) => ({
    path: holdings.target.path,
    body: forgeSignature({ ...holdings, base: { path: '', body: '' } }, 'random digits'),
  }),
  ticket: ({ random }) => ({ signature: random.hex(64), timestampMs: Date.now() - random.int(60_000) }),
  targets: ({ open, settled }) => [...open, ...settled],
};

/** A message altered in form on its way: token and signature are right, but it is refused. */
const FORMS: Series = {
  name: 'forms',
  classes: SHAPE_CLASSES.filter((shape) => shape.harmless !== true && shape.few !== true),
  base: ({ target }) => ({ path: target.path, body: target.callback!.body }),
  ticket: capturedTicket,
  targets: ({ settled }) => settled,
};

export const SERIES: Readonly<Record<'signatures' | 'tokens' | 'forms', Series>> = {
  signatures: SIGNATURES,
  tokens: TOKENS,
  forms: FORMS,
};

const FEW = 6;

/** How many attempts each class of a series makes, so that together they are `count`. */
export function shareOut(classes: readonly AttackClass[], count: number): number[] {
  const few = Math.min(FEW, Math.max(1, Math.floor(count / classes.length)));
  const many = classes.filter((each) => each.few !== true).length;
  const rest = count - few * (classes.length - many);
  let given = 0;
  return classes.map((each) => {
    if (each.few === true) return few;
    given += 1;
    return Math.max(1, Math.floor((rest * given) / many) - Math.floor((rest * (given - 1)) / many));
  });
}

/** One series, class by class, honest traffic beside it all the time. */
export async function runSeries(series: Series, arena: Arena, count: number): Promise<ClassReport[]> {
  const shares = shareOut(series.classes, count);
  const reports: ClassReport[] = [];
  for (const [at, attack] of series.classes.entries()) reports.push(await runClass(series, attack, arena, shares[at]!));
  return reports;
}

async function runClass(series: Series, attack: AttackClass, arena: Arena, count: number): Promise<ClassReport> {
  const { name, rows } = attack;
  const report: ClassReport = {
    series: series.name,
    name,
    rows,
    attempts: 0,
    answers: {},
    accepted: 0,
    control: await sendOriginal(arena),
    found: [],
  };
  const before = await findTraces(arena.world, arena.roster);
  await inParallel(attempts(series, attack, arena, count), async (attempt) => {
    const reply = await arena.wire.send(attempt);
    report.attempts += 1;
    report.answers[reply.status] = (report.answers[reply.status] ?? 0) + 1;
    if (
      reply.status === 401 &&
      attempt.listener === undefined &&
      reply.fingerprint !== null &&
      attempt.method === undefined
    )
      arena.unauthorized.add(reply.fingerprint);
    if (!isRefusal(reply)) report.accepted += 1;
  });
  const after = await findTraces(arena.world, arena.roster);
  for (const [what, found] of Object.entries(after)) {
    if (found !== (before[what] ?? 0)) report.found.push(`${what}: ${found - (before[what] ?? 0)}`);
  }
  return report;
}

function* attempts(series: Series, attack: AttackClass, arena: Arena, count: number) {
  for (let made = 0; made < count; made += 1) yield attack.forge(hold(series, arena));
}

function hold(series: Series, arena: Arena): Holdings {
  const { random, roster } = arena;
  const target = random.pick(series.targets(roster));
  const own = random.pick(roster.settled.filter((victim) => victim !== target));
  const holdings = { random, target, own, ticket: series.ticket(arena) };
  return { ...holdings, base: series.base(holdings) };
}

/** A refusal reveals nothing else: no success, no redirect, no failure of ours. */
const isRefusal = ({ status }: Reply): boolean => status === 0 || (status >= 400 && status < 500);

/** Sends the unaltered original of the classes: it has to be acknowledged. */
async function sendOriginal({ wire, roster, random }: Arena): Promise<boolean> {
  const { path, callback } = random.pick(roster.settled);
  const { status, body } = await wire.sendAlone({ path, body: callback!.body });
  if (status === 200) roster.controls += 1;
  return status === 200 && body === 'SUCCESS';
}
