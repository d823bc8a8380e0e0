import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { inTransaction } from '../../database/pool.ts';
import type { Cut, Driver, Kill } from './driver.ts';
import { type Holder, settle } from './model.ts';
import {
  close,
  confirm,
  type Delivery,
  doubt,
  endWindow,
  machine,
  type Manner,
  needsTwo,
  type Play,
  propose,
  provide,
  receive,
  resume,
  withdraw,
} from './plays.ts';
import {
  ALLOWED,
  at,
  codeOf,
  depositIn,
  type Facts,
  inWallet,
  newest,
  type Place,
  type Reference,
  standingOf,
} from './reference.ts';
import { CODES } from './world.ts';

/** One command in the state it meets: its effect on the reference, and its calls of the engine. */
export interface Plan {
  readonly text: string;
  readonly play: Play;
  run(driver: Driver): Promise<string>;
  /** Two of one kind on one thing cannot run at once, because a workflow runs one step after the other. */
  readonly alone?: string;
}

/** A command before it meets a state: some numbers that choose. Null: it has no meaning there. */
export interface Part {
  readonly name: string;
  plan(ref: Reference, free: number): Plan | null;
}

const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % list.length];
const cases = (ref: Reference, wanted: (label: string) => boolean) => Object.keys(ref.cases).filter(wanted).toSorted();

const KINDS = ['good', 'other', 'short', 'unreadable'] as const;
type Kind = (typeof KINDS)[number];
/** Good money of each code differs, so that one cannot be taken for the other. */
const AMOUNTS: Readonly<Record<Kind, (i: number) => number>> = {
  good: (i) => 5000 - 100 * i,
  other: (i) => 4600 - i,
  short: (i) => 1000 + i,
  unreadable: () => 0,
};

export function deliveryOf(order: number, i: number, kind: Kind, manner: Manner): Delivery {
  const code = kind === 'unreadable' ? null : CODES[i]!;
  return { label: `${order}${CODES[i]!}-${kind}`, order, code, amount: AMOUNTS[kind](i), manner };
}

const callback = (order: number, i: number, kind: Kind, manner: Manner): Part => ({
  name: `callback ${manner === 'fresh' ? kind : manner}`,
  plan(ref) {
    const delivery = deliveryOf(order, i, kind, manner);
    if (manner === 'waited' && ref.deposits[order]!.known) return null;
    return {
      text: `callback ${delivery.label}, ${manner}`,
      play: receive(delivery),
      run: (driver) => driver.receive(delivery),
    };
  },
});

const provideOrder: Part = {
  name: 'order provided',
  plan: (ref) =>
    ref.deposits[2]!.known
      ? null
      : { text: 'order 2 is provided', play: provide(2), run: (driver) => driver.provide(2), alone: 'order 2' },
};

const windowEnds = (order: number): Part => ({
  name: 'window ends',
  plan: ({ deposits }) =>
    !deposits[order]!.known || deposits[order]!.over
      ? null
      : {
          text: `window of ${order} ends`,
          play: endWindow(order),
          run: (driver) => driver.endWindow(order),
          alone: `flow ${order}`,
        },
});

const closing = (order: number): Part => ({
  name: 'close',
  plan: ({ deposits }) =>
    deposits[order]!.known
      ? { text: `close ${order}`, play: close(order), run: (driver) => driver.close(order), alone: `flow ${order}` }
      : null,
});

const crediting = (order: number, manner: 'once' | 'twice' | 'lost'): Part => ({
  name: `machine ${manner}`,
  plan({ deposits }) {
    const { flow } = deposits[order]!;
    if (flow === 'waiting') return null;
    const acts = flow === 'heard';
    return {
      text: `machine credits ${order}, ${manner}`,
      play: machine(order),
      run: (driver) => driver.machine(order, acts, manner),
      alone: `flow ${order}`,
    };
  },
});

export interface Wish {
  readonly of: number;
  readonly decision: number;
  readonly by: number;
  readonly keep: boolean;
  readonly to: number | null;
  readonly beside: 'newest' | 'oldest' | 'none';
  readonly code: number;
}

/** A proposal that may be wrong, like an operator's. */
function proposalFor(ref: Reference, label: string, wish: Wish) {
  const standing = standingOf(ref, label);
  const decision = pick(ALLOWED[standing], wish.decision)!;
  const { order, code } = ref.callbacks[label]!;
  const own = ref.deposits[order]!.known ? order : null;
  const wanted = wish.to !== null && ref.deposits[wish.to]!.known ? wish.to : null;
  const to = decision === 'credit' ? (wanted ?? (own === null || standing === 'withdrawn' ? 0 : null)) : null;
  const cameFrom = ref.money[codeOf(ref, label) ?? '']?.path.at(-2) ?? 'none';
  const undoes = decision === 'restore' || (decision === 'reject' && standing === 'withdrawn');
  const target: Place = decision === 'credit' ? `wallet:${to ?? own!}` : undoes ? cameFrom : 'none';
  const facts: Facts = { code: pick([...CODES, 'X'], wish.code)!, amount: 3000 };
  return {
    by: wish.by,
    decision,
    keep: wish.keep && decision === 'reverse' && standing === 'credited',
    to,
    beside: inWallet(target) ? besideOf(ref, depositIn(target), wish.beside) : null,
    facts: decision === 'credit' && standing === 'unreadable' && code === null ? facts : null,
  };
}

function besideOf(ref: Reference, deposit: number, which: Wish['beside']): string | null {
  if (which === 'none') return null;
  return which === 'newest' ? newest(ref, deposit) : (ref.deposits[deposit]!.standing[0] ?? null);
}

const proposing = (wish: Wish): Part => ({
  name: 'propose',
  plan(ref, n) {
    const label = pick(
      cases(ref, (one) => ref.cases[one]!.open),
      wish.of,
    );
    if (label === undefined) return null;
    const proposal = proposalFor(ref, label, wish);
    return {
      text: `${n}: propose ${label} ${JSON.stringify(proposal)}`,
      play: propose(label, n, proposal),
      run: (driver) => driver.propose(label, n, proposal),
    };
  },
});

/**
 * `other`: whether another operator confirms, where one suffices; `differs`: states other facts; `stale`: refers to an
 * older proposal.
 */
export interface Assent {
  readonly other: boolean;
  readonly differs: boolean;
  readonly stale: boolean;
  readonly kill: Kill;
  readonly cut: Cut | null;
}

const factsOf = (facts: Facts | null, differs: boolean): Facts | null =>
  facts === null || !differs ? facts : { ...facts, amount: facts.amount + 1 };

const confirming = (of: number, assent: Assent): Part => ({
  name: assent.stale ? 'confirm stale' : assent.kill === 0 ? 'confirm' : `confirm, killed after ${assent.kill}`,
  plan(ref) {
    const label = pick(
      cases(ref, (one) => ref.cases[one]!.open && ref.cases[one]!.proposal !== null),
      of,
    );
    if (label === undefined) return null;
    const waits = ref.cases[label]!.proposal!;
    const n = assent.stale ? 0 : waits;
    const proposal = ref.proposals[waits]!;
    const by = assent.other ? (proposal.by + 1) % 3 : proposal.by;
    const facts = factsOf(proposal.facts, assent.differs);
    return {
      text: `confirm ${label} ${n} by ${by} ${JSON.stringify(assent)}`,
      play: confirm(label, n, by, facts, assent.kill),
      run: (driver) => driver.confirm(label, n, by, facts, assent.kill, assent.cut),
    };
  },
});

/** Proposed and confirmed at once, the usual case. */
const deciding = (wish: Wish, assent: Assent): Part => ({
  name: `decide${assent.kill === 0 ? '' : `, killed after ${assent.kill}`}`,
  plan(ref, n) {
    const isFree = (one: string) =>
      ref.cases[one]!.open && ref.cases[one]!.proposal === null && ref.cases[one]!.confirmed === null;
    const label = pick(cases(ref, isFree), wish.of);
    if (label === undefined) return null;
    const proposal = proposalFor(ref, label, wish);
    const by = assent.other || needsTwo(ref, label, proposal) ? (proposal.by + 1) % 3 : proposal.by;
    const facts = factsOf(proposal.facts, assent.differs);
    return {
      text: `${n}: decide ${label} ${JSON.stringify(proposal)} ${JSON.stringify(assent)}`,
      *play(now) {
        const proposed = yield* propose(label, n, proposal)(now);
        if (proposed !== 'taken') return proposed;
        yield;
        return yield* confirm(label, n, by, facts, assent.kill)(now);
      },
      async run(driver) {
        const proposed = await driver.propose(label, n, proposal);
        return proposed === 'taken' ? driver.confirm(label, n, by, facts, assent.kill, assent.cut) : proposed;
      },
    };
  },
});

const withdrawing = (of: number, by: number): Part => ({
  name: 'withdraw',
  plan(ref) {
    const label = pick(
      cases(ref, (one) => ref.cases[one]!.open && ref.cases[one]!.proposal !== null),
      of,
    );
    if (label === undefined) return null;
    const n = ref.cases[label]!.proposal!;
    return { text: `withdraw ${label} ${n}`, play: withdraw(label, n), run: (driver) => driver.withdraw(label, n, by) };
  },
});

const resuming = (of: number): Part => ({
  name: 'worker is back',
  plan(ref) {
    const label = pick(
      cases(ref, (one) => ref.cases[one]!.confirmed !== null),
      of,
    );
    if (label === undefined) return null;
    return { text: `resume ${label}`, play: resume(label), run: (driver) => driver.resume(label), alone: label };
  },
});

const doubting = (of: number): Part => ({
  name: 'doubt',
  plan(ref) {
    const isPast = (label: string) => {
      const found = ref.cases[label];
      if (found !== undefined) return !found.open && found.confirmed === null;
      return ref.money[ref.callbacks[label]!.code ?? '']?.owner === label;
    };
    const label = pick(Object.keys(ref.callbacks).filter(isPast).toSorted(), of);
    if (label === undefined) return null;
    return {
      text: `doubt ${label} at ${at(ref.money[codeOf(ref, label) ?? ''])}`,
      play: doubt(label),
      run: (driver) => driver.doubt(label, null),
      alone: label,
    };
  },
});

/** The credit of a deposit, wherever it is now. */
const doubtingDeposit = (order: number): Part => ({
  name: 'doubt deposit',
  plan(ref) {
    const posting = newest(ref, order) ?? ref.deposits[order]!.posting;
    if (posting === null) return null;
    const label = ref.money[posting.slice(0, posting.indexOf('#'))]!.owner;
    const found = ref.cases[label];
    if (found !== undefined && found.confirmed !== null) return null;
    return {
      text: `doubt deposit ${order}: ${label}`,
      play: doubt(label),
      run: (driver) => driver.doubt(label, order),
      alone: label,
    };
  },
});

/** The first of these that has a meaning in its state, so that few commands of a sequence are lost. */
const orElse = (...parts: readonly Part[]): Part => {
  let name = parts[0]!.name;
  return {
    get name() {
      return name;
    },
    plan(ref, n) {
      for (const part of parts) {
        const plan = part.plan(ref, n);
        name = part.name;
        if (plan !== null) return plan;
      }
      return null;
    },
  };
};

/** Repeats an earlier decision. */
class AskAgain implements fc.AsyncCommand<Holder, Driver> {
  readonly which: number;
  constructor(which: number) {
    this.which = which;
  }
  check = ({ ref }: Readonly<Holder>) => Object.values(ref.proposals).some(({ answer }) => answer !== null);
  async run(holder: Holder, driver: Driver): Promise<void> {
    if (driver.carried.length === 0) return;
    driver.told.push('ask again');
    holder.tally.count('command', 'ask again');
    await driver.askAgain(this.which);
    await settle(holder, driver, 'ask again', [], []);
  }
  toString = () => `ask again ${this.which}`;
}

/** The locks held while two commands start, so that they meet. */
type Held = 'nothing' | 'cases' | 'deposits';

/** One command, or two at once on connections of their own. */
class Command implements fc.AsyncCommand<Holder, Driver> {
  readonly parts: readonly Part[];
  readonly held: Held;
  #text: string;

  constructor(parts: readonly Part[], held: Held) {
    this.parts = parts;
    this.held = held;
    this.#text = parts.map(({ name }) => name).join(' | ');
  }

  #plans(ref: Reference): Plan[] | null {
    const free = Math.max(-1, ...Object.keys(ref.proposals).map(Number)) + 1;
    const plans = this.parts.map((part, i) => part.plan(ref, free + i));
    if (plans.some((plan) => plan === null)) return null;
    const alone = plans.map((plan) => plan!.alone).filter((thing) => thing !== undefined);
    return new Set(alone).size === alone.length ? (plans as Plan[]) : null;
  }

  check = ({ ref }: Readonly<Holder>): boolean => this.#plans(ref) !== null;

  async run(holder: Holder, driver: Driver): Promise<void> {
    const plans = this.#plans(holder.ref)!;
    this.#text = plans.map(({ text }) => text).join(' | ');
    driver.told.push(this.#text);
    for (const { name } of this.parts) holder.tally.count('command', plans.length === 1 ? name : `${name}, at once`);
    const start = () => Promise.all(plans.map((plan) => plan.run(driver)));
    const answers =
      plans.length === 1 || this.held === 'nothing' ? await start() : await whileHeld(driver, this.held, start);
    await settle(
      holder,
      driver,
      this.#text,
      plans.map(({ play }) => play),
      answers,
    );
  }

  toString = () => this.#text;
}

/** Both wait for a lock of ours before they wait for each other. */
async function whileHeld<T>(driver: Driver, held: Exclude<Held, 'nothing'>, start: () => Promise<T>): Promise<T> {
  const lock = {
    cases: `select from engine.review_case v join engine.callback c on c.id = v.callback
             where c.external_order_number = any($1) order by v.workflow_id for no key update of v`,
    deposits:
      'select from engine.deposit where external_order_number = any($1) order by external_order_number for no key update',
  };
  return inTransaction(driver.site.owner, async (client) => {
    await client.query(lock[held], [driver.names.orders]);
    const started = start();
    started.catch(() => undefined);
    await sleep(8);
    return { started };
  }).then(({ started }) => started);
}

// Most payments are of the first deposit, so that they meet.
const order = fc.constantFrom(0, 0, 0, 0, 1, 1, 2);
const nat = fc.nat({ max: 23 });
const kind = fc.constantFrom<Kind>('good', 'good', 'good', 'other', 'short', 'unreadable');
const manner = fc.constantFrom<Manner>('ahead', 'stale', 'before order', 'reflected', 'waited');
const person = fc.nat({ max: 2 });
const wish: fc.Arbitrary<Wish> = fc.record({
  of: nat,
  decision: nat,
  by: person,
  keep: fc.boolean(),
  to: fc.constantFrom(null, null, null, 0, 1, 2),
  beside: fc.constantFrom<Wish['beside'][]>('newest', 'newest', 'newest', 'oldest', 'oldest', 'none'),
  code: nat,
});
const assent: fc.Arbitrary<Assent> = fc.record({
  other: fc.constantFrom(true, true, true, false),
  differs: fc.constantFrom(false, false, false, true),
  stale: fc.constantFrom(false, false, false, false, false, true),
  kill: fc.constantFrom<Kill[]>(0, 0, 0, 0, 0, 0, 1, 2),
  // Rare, because the next connection has to plan everything anew.
  cut: fc.oneof(
    { weight: 9, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.record({ statement: fc.integer({ min: 1, max: 10 }), before: fc.boolean() }) },
  ),
});

const fresh = fc.tuple(order, fc.nat({ max: 3 }), kind).map((a) => callback(...a, 'fresh'));
const odd = fc.tuple(order, fc.nat({ max: 3 }), fc.constant<Kind>('good'), manner).map((a) => callback(...a));
const byMachine = fc
  .tuple(order, fc.constantFrom('once' as const, 'once' as const, 'twice' as const, 'lost' as const), fresh)
  .map(([of, how, first]) => orElse(crediting(of, how), crediting(0, how), first));
/** Until there is a case there is a callback that makes one. */
const aCase = fc.oneof(nat.map(doubting), odd);
const decided = fc
  .tuple(wish, assent, aCase, fresh)
  .map(([what, how, ...before]) => orElse(deciding(what, how), ...before));
const proposed = fc.tuple(wish, aCase, fresh).map(([what, ...before]) => orElse(proposing(what), ...before));
const confirmed = fc
  .tuple(nat, assent, wish, aCase, fresh)
  .map(([of, how, what, ...before]) => orElse(confirming(of, how), proposing(what), ...before));
const withdrawn = fc.tuple(nat, person, proposed).map(([of, by, before]) => orElse(withdrawing(of, by), before));
const closed = order.map(closing);
const doubted = fc.tuple(nat, byMachine, fresh).map(([of, ...before]) => orElse(doubting(of), ...before));
/** Alone: which credit of a deposit is its newest may change meanwhile. */
const depositDoubted = fc.tuple(order, doubted).map(([at, otherwise]) => orElse(doubtingDeposit(at), otherwise));
const resumed = fc.tuple(nat, decided).map(([of, before]) => orElse(resuming(of), before));
const changed = fc
  .tuple(fc.oneof(fc.constant(provideOrder), order.map(windowEnds), closed), fresh)
  .map(([first, before]) => orElse(first, before));

/** Commands that may run concurrently with another. */
const together = fc.oneof(
  fresh,
  odd,
  byMachine,
  byMachine,
  byMachine,
  decided,
  decided,
  decided,
  confirmed,
  closed,
  doubted,
  resumed,
);
const single = (part: fc.Arbitrary<Part>) => part.map((one) => new Command([one], 'nothing'));
const held = fc.constantFrom<Held[]>('nothing', 'cases', 'deposits');
/** A step that comes while its case is locked: before the decision is carried out, between its two halves, or after it. */
const late = fc
  .tuple(nat, assent, person, proposed)
  .map(([of, how, by, before]) => new Command([orElse(confirming(of, how), before), withdrawing(of, by)], 'cases'));

export const COMMANDS: fc.Arbitrary<fc.AsyncCommand<Holder, Driver>>[] = [
  single(fresh),
  single(fresh),
  single(odd),
  single(odd),
  single(byMachine),
  single(byMachine),
  single(decided),
  single(decided),
  single(decided),
  single(decided),
  single(doubted),
  single(depositDoubted),
  single(proposed),
  single(confirmed),
  single(fc.oneof(withdrawn, resumed)),
  single(changed),
  nat.map((which) => new AskAgain(which)),
  late,
  fc.tuple(together, together, held).map(([a, b, lock]) => new Command([a, b], lock)),
  fc.tuple(together, together, held).map(([a, b, lock]) => new Command([a, b], lock)),
  fc.tuple(together, together, held).map(([a, b, lock]) => new Command([a, b], lock)),
  fc.tuple(together, together, held).map(([a, b, lock]) => new Command([a, b], lock)),
  fc.tuple(together, together, held).map(([a, b, lock]) => new Command([a, b], lock)),
];
