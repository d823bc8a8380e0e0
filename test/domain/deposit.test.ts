import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEPOSIT_EVENTS,
  DEPOSIT_STATES,
  type DepositEvent,
  type DepositState,
  FINAL_STATES,
  isFinal,
  shownTransitions,
  transition,
} from '../../domain/deposit.ts';

const OPEN_STATES = DEPOSIT_STATES.filter((state) => !isFinal(state));
const PAIRS = DEPOSIT_STATES.flatMap((state) => DEPOSIT_EVENTS.map((event) => ({ state, event })));

interface Edge {
  readonly from: DepositState;
  readonly event: DepositEvent;
  readonly to: DepositState;
}

/** The signal's payment is not the bound one: the wait goes on, or the bound one is judged instead. */
const UNBOUND = DEPOSIT_EVENTS.filter((event) => event.startsWith('unbound'));
const isUnbound = (event: DepositEvent): boolean => UNBOUND.includes(event);
const isCorrection = (from: DepositState, event: DepositEvent): boolean =>
  isUnbound(event) ||
  ((from === 'CREDITING' || from === 'IN_REVIEW') && (event === 'callbackGood' || event === 'callbackDoubtful'));

/** Every move, found by trying every event in every reachable state, until nothing new appears. */
function explore(
  start: DepositState = 'PLACING',
  mayHappen: (from: DepositState, event: DepositEvent) => boolean = () => true,
): { readonly reached: Set<DepositState>; readonly edges: Edge[] } {
  const reached = new Set([start]);
  const edges: Edge[] = [];
  for (const from of reached) {
    for (const event of DEPOSIT_EVENTS.filter((each) => mayHappen(from, each))) {
      const to = transition(from, event).state;
      if (to !== from) edges.push({ from, event, to });
      reached.add(to);
    }
  }
  return { reached, edges };
}

const { reached, edges } = explore();
/** Signals whose payment is the bound one. */
const uncorrected = (start?: DepositState) => explore(start, (from, event) => !isCorrection(from, event)).reached;
const into = (state: DepositState) => edges.filter((edge) => edge.to === state);
const events = (taken: readonly Edge[]) => [...new Set(taken.map((edge) => edge.event))].toSorted();

const run = (sequence: readonly DepositEvent[]) =>
  sequence.reduce<DepositState[]>((path, event) => [...path, transition(path.at(-1)!, event).state], ['PLACING']);
const anySequence = fc.array(fc.constantFrom(...DEPOSIT_EVENTS), { maxLength: 30 });

const WAITING = {
  AWAITING_PAYMENT: 'unboundWhileAwaiting',
  EXPIRED: 'unboundWhileExpired',
  PLACEMENT_UNKNOWN: 'unboundWhileUnknown',
} as const;
const isWaiting = (state: DepositState): state is keyof typeof WAITING => state in WAITING;

/** The moves of a workflow that goes back only to where it waited last. */
function moves(sequence: readonly DepositEvent[]): Edge[] {
  let state: DepositState = 'PLACING';
  let back: DepositEvent | null = null;
  return sequence.flatMap((event) => {
    if (isUnbound(event) && event !== back) return [];
    const from = state;
    state = transition(from, event).state;
    if (!isUnbound(event) && isWaiting(from)) back = WAITING[from];
    return [{ from, event, to: state }];
  });
}

describe('the transition table', () => {
  it('reads as follows; whoever changes it changes docs/reference/lifecycle.md and every history to come', () => {
    const text = OPEN_STATES.map((state) => {
      const moves = DEPOSIT_EVENTS.map((event) => ({ event, ...transition(state, event) }))
        .filter((move) => move.state !== state || move.effects.length > 0)
        .map((move) => `  ${[move.event, '->', move.state, ...move.effects].join(' ')}`);
      return [state, ...moves].join('\n');
    }).join('\n');
    expect(text).toBe(
      `
PLACING
  placed -> AWAITING_PAYMENT
  placementRefused -> PLACEMENT_REFUSED announce
  placementUnknown -> PLACEMENT_UNKNOWN announce
  callbackThoughRefused -> IN_REVIEW record announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
PLACEMENT_UNKNOWN
  placed -> AWAITING_PAYMENT record announce
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  listeningWindowElapsed -> UNPAID announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
AWAITING_PAYMENT
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  paymentWindowElapsed -> EXPIRED record announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
  unboundWhileUnknown -> PLACEMENT_UNKNOWN
EXPIRED
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  listeningWindowElapsed -> UNPAID announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  credited -> CREDITED announce
  creditConflict -> IN_REVIEW record announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
  unboundWhileAwaiting -> AWAITING_PAYMENT
  unboundWhileExpired -> EXPIRED
  unboundWhileUnknown -> PLACEMENT_UNKNOWN
IN_REVIEW
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  decidedCredit -> CREDITED announce
  decidedReject -> REJECTED announce
  decidedRejectThoughCredited -> CREDITED announce
  settledByPeople -> CREDITED announce
  foundRejected -> REJECTED announce
  unboundWhileAwaiting -> AWAITING_PAYMENT
  unboundWhileExpired -> EXPIRED
  unboundWhileUnknown -> PLACEMENT_UNKNOWN`.trim(),
    );
  });

  it.each(PAIRS)('has an answer to $event in $state', ({ state, event }) => {
    const step = transition(state, event);
    expect(DEPOSIT_STATES).toContain(step.state);
    // Another payment is in review than the one that led there: that is announced.
    const isTold = state === 'IN_REVIEW' && event === 'callbackDoubtful';
    if (step.state === state && !isTold) expect(step.effects).toEqual([]);
  });
});

describe('every order of events', () => {
  it('reaches every state', () => {
    expect([...reached].toSorted()).toEqual([...DEPOSIT_STATES].toSorted());
    expect([...uncorrected()].toSorted()).toEqual([...DEPOSIT_STATES].toSorted());
  });

  it.each(FINAL_STATES)('leaves %s as it is, whatever comes', (state) => {
    for (const event of DEPOSIT_EVENTS) expect(transition(state, event)).toEqual({ state, effects: [] });
  });

  it.each(OPEN_STATES)('can still end a deposit that is %s', (state) => {
    expect([...explore(state).reached].some((later) => isFinal(later))).toBe(true);
  });

  it.each(Object.keys(WAITING) as (keyof typeof WAITING)[])(
    'hears a payment in %s, and never takes one that is bound for unpaid',
    (state) => {
      expect(transition(state, 'callbackGood').state).toBe('CREDITING');
      expect(transition(state, 'callbackDoubtful').state).toBe('IN_REVIEW');
      expect(uncorrected('CREDITING')).not.toContain('UNPAID');
      expect(uncorrected('IN_REVIEW')).not.toContain('UNPAID');
    },
  );

  it.each(Object.entries(WAITING))('goes back to %s when what was named there is not bound', (state, event) => {
    for (const from of ['CREDITING', 'IN_REVIEW'] as const) {
      expect(transition(from, event)).toEqual({ state, effects: [] });
    }
    // No wait leads back from a final state.
    expect(edges.filter((edge) => edge.event === event && isFinal(edge.from))).toEqual([]);
  });

  it.each(OPEN_STATES)('ends a deposit that is %s as its row has ended', (state) => {
    expect(transition(state, 'settledByPeople').state).toBe('CREDITED');
    expect(transition(state, 'foundRejected').state).toBe('REJECTED');
  });

  it('credits only what the judge or people approved', () => {
    const credited = ['credited', 'decidedCredit', 'decidedRejectThoughCredited', 'settledByPeople'];
    expect(events(into('CREDITED'))).toEqual(credited);
    expect(into('CREDITED').filter((edge) => edge.event === 'credited')).toMatchObject([{ from: 'CREDITING' }]);
    const decided = into('CREDITED').filter((edge) => edge.event.startsWith('decided'));
    expect(new Set(decided.map((edge) => edge.from))).toEqual(new Set(['IN_REVIEW']));
    expect(events(into('CREDITING'))).toEqual(['callbackGood']);
    expect(events(into('REJECTED'))).toEqual(['decidedReject', 'foundRejected']);
    expect(into('REJECTED').filter((edge) => edge.event === 'decidedReject')).toMatchObject([{ from: 'IN_REVIEW' }]);
  });

  it('never places again: nothing leads back to PLACING, and a payment window that is over stays over', () => {
    expect(into('PLACING')).toEqual([]);
    const asked = into('PLACEMENT_UNKNOWN').filter((edge) => !isUnbound(edge.event));
    expect(asked.map((edge) => edge.from)).toEqual(['PLACING']);
    fc.assert(
      fc.property(anySequence, (sequence) => {
        const path = moves(sequence).map((edge) => edge.to);
        const over = path.indexOf('EXPIRED');
        if (over >= 0) expect(path.slice(over)).not.toContain('AWAITING_PAYMENT');
      }),
      { numRuns: 2_000 },
    );
  });

  it('ends unpaid only when the listening window is over, and refused only while placing', () => {
    expect(events(into('UNPAID'))).toEqual(['listeningWindowElapsed']);
    expect(into('PLACEMENT_REFUSED').map((edge) => edge.from)).toEqual(['PLACING']);
  });

  it('credits at most once and then stays credited', () => {
    fc.assert(
      fc.property(anySequence, (sequence) => {
        const path = run(sequence);
        const first = path.indexOf('CREDITED');
        if (first >= 0) expect(new Set(path.slice(first))).toEqual(new Set(['CREDITED']));
      }),
      { numRuns: 1_000 },
    );
  });

  it('never comes back to a state it has left, unless what led away from it is not bound', () => {
    fc.assert(
      fc.property(anySequence, (sequence) => {
        const left = new Set<DepositState>();
        for (const { from, event, to } of moves(sequence)) {
          if (from !== to) left.add(from);
          if (isCorrection(from, event)) left.clear();
          expect(left, `${from} ${event}`).not.toContain(to);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('what the world is told', () => {
  const effects = (...sequence: DepositEvent[]) => {
    let state: DepositState = 'PLACING';
    return sequence.flatMap((event) => {
      const step = transition(state, event);
      ({ state } = step);
      return step.effects;
    });
  };

  it('is one change of search attributes on the happy path, at the end, and nothing recorded twice', () => {
    expect(effects('placed', 'callbackGood', 'credited')).toEqual(['announce']);
  });

  it('announces every state but the one a deposit starts to be searched as, and the one that does not last', () => {
    for (const { from, event, to } of edges) {
      const isFirst = from === 'PLACING' && to === 'AWAITING_PAYMENT';
      // Nothing was announced on the way to a state that is left again.
      const silent = to === 'CREDITING' || isFirst || isUnbound(event);
      expect(transition(from, event).effects.includes('announce'), `${from} ${event}`).toBe(!silent);
    }
  });

  it('records exactly the states that no activity writes with its own effect', () => {
    for (const { from, event, to } of edges) {
      const isAnswered = from === 'PLACEMENT_UNKNOWN' && to === 'AWAITING_PAYMENT';
      const own = !isUnbound(event) && (to === 'EXPIRED' || to === 'IN_REVIEW' || isAnswered);
      expect(transition(from, event).effects.includes('record'), `${from} ${event}`).toBe(own);
    }
  });
});

it('rows show these changes of state and no other; nobody writes CREDITING', () => {
  const shown: Readonly<Partial<Record<DepositState, string>>> = {
    PLACING: 'AWAITING_PAYMENT PLACEMENT_UNKNOWN PLACEMENT_REFUSED IN_REVIEW CREDITED REJECTED',
    PLACEMENT_UNKNOWN: 'AWAITING_PAYMENT PLACEMENT_REFUSED IN_REVIEW CREDITED REJECTED UNPAID',
    AWAITING_PAYMENT: 'EXPIRED IN_REVIEW CREDITED REJECTED',
    EXPIRED: 'IN_REVIEW CREDITED REJECTED UNPAID',
    CREDITING: 'IN_REVIEW CREDITED REJECTED',
    IN_REVIEW: 'CREDITED REJECTED',
  };
  const pairs = Object.entries(shown).flatMap(([from, to]) => to.split(' ').map((one) => `${from}>${one}`));
  expect([...shownTransitions()].toSorted()).toEqual(pairs.toSorted());
});
