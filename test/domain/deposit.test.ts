import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEPOSIT_EVENTS,
  DEPOSIT_STATES,
  type DepositEvent,
  type DepositState,
  FINAL_STATES,
  isFinal,
  transition,
} from '../../domain/deposit.ts';

const OPEN_STATES = DEPOSIT_STATES.filter((state) => !isFinal(state));
const PAIRS = DEPOSIT_STATES.flatMap((state) => DEPOSIT_EVENTS.map((event) => ({ state, event })));

interface Edge {
  readonly from: DepositState;
  readonly event: DepositEvent;
  readonly to: DepositState;
}

/** Every move there is, found by trying every event in every state that can be reached, until nothing new appears. */
function explore(start: DepositState = 'PLACING'): { readonly reached: Set<DepositState>; readonly edges: Edge[] } {
  const reached = new Set([start]);
  const edges: Edge[] = [];
  for (const from of reached) {
    for (const event of DEPOSIT_EVENTS) {
      const to = transition(from, event).state;
      if (to !== from) edges.push({ from, event, to });
      reached.add(to);
    }
  }
  return { reached, edges };
}

const { reached, edges } = explore();
const into = (state: DepositState) => edges.filter((edge) => edge.to === state);
const events = (taken: readonly Edge[]) => [...new Set(taken.map((edge) => edge.event))].toSorted();

const run = (sequence: readonly DepositEvent[]) =>
  sequence.reduce<DepositState[]>((path, event) => [...path, transition(path.at(-1)!, event).state], ['PLACING']);
const anySequence = fc.array(fc.constantFrom(...DEPOSIT_EVENTS), { maxLength: 30 });

describe('the transition table', () => {
  it('reads as follows; whoever changes it changes docs/lifecycle.md and every history to come', () => {
    const text = OPEN_STATES.map((state) => {
      const moves = DEPOSIT_EVENTS.map((event) => ({ event, ...transition(state, event) }))
        .filter((move) => move.state !== state)
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
PLACEMENT_UNKNOWN
  placed -> AWAITING_PAYMENT record announce
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  listeningWindowElapsed -> UNPAID announce
AWAITING_PAYMENT
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  paymentWindowElapsed -> EXPIRED record announce
EXPIRED
  callbackGood -> CREDITING
  callbackDoubtful -> IN_REVIEW record announce
  listeningWindowElapsed -> UNPAID announce
CREDITING
  credited -> CREDITED announce
  creditConflict -> IN_REVIEW record announce
IN_REVIEW
  decidedCredit -> CREDITED announce
  decidedReject -> REJECTED announce`.trim(),
    );
  });

  it.each(PAIRS)('has an answer to $event in $state', ({ state, event }) => {
    const step = transition(state, event);
    expect(DEPOSIT_STATES).toContain(step.state);
    if (step.state === state) expect(step.effects).toEqual([]);
  });
});

describe('every order of events', () => {
  it('reaches every state', () => {
    expect([...reached].toSorted()).toEqual([...DEPOSIT_STATES].toSorted());
  });

  it.each(FINAL_STATES)('leaves %s as it is, whatever comes', (state) => {
    for (const event of DEPOSIT_EVENTS) expect(transition(state, event)).toEqual({ state, effects: [] });
  });

  it.each(OPEN_STATES)('can still end a deposit that is %s', (state) => {
    expect([...explore(state).reached].some((later) => isFinal(later))).toBe(true);
  });

  it.each(['PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED'] as const)(
    'hears a payment in %s, and never takes it for unpaid',
    (state) => {
      expect(transition(state, 'callbackGood').state).toBe('CREDITING');
      expect(transition(state, 'callbackDoubtful').state).toBe('IN_REVIEW');
      expect(explore('CREDITING').reached).not.toContain('UNPAID');
      expect(explore('IN_REVIEW').reached).not.toContain('UNPAID');
    },
  );

  it('credits only what the judge or people approved', () => {
    expect(new Set(into('CREDITED').map((edge) => edge.from))).toEqual(new Set(['CREDITING', 'IN_REVIEW']));
    expect(events(into('CREDITED'))).toEqual(['credited', 'decidedCredit']);
    expect(events(into('CREDITING'))).toEqual(['callbackGood']);
    expect(into('REJECTED')).toEqual([{ from: 'IN_REVIEW', event: 'decidedReject', to: 'REJECTED' }]);
  });

  it('never places again: nothing leads back to PLACING, and a payment window that is over stays over', () => {
    expect(into('PLACING')).toEqual([]);
    expect(explore('EXPIRED').reached).not.toContain('AWAITING_PAYMENT');
    expect(into('PLACEMENT_UNKNOWN').map((edge) => edge.from)).toEqual(['PLACING']);
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

  it('never comes back to a state it has left', () => {
    fc.assert(
      fc.property(anySequence, (sequence) => {
        const visited = run(sequence).filter((state, i, path) => state !== path[i - 1]);
        expect(new Set(visited).size).toBe(visited.length);
      }),
      { numRuns: 1_000 },
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
      const silent = to === 'CREDITING' || (from === 'PLACING' && to === 'AWAITING_PAYMENT');
      expect(transition(from, event).effects.includes('announce'), `${from} ${event}`).toBe(!silent);
    }
  });

  it('records exactly the states that no activity writes with its own effect', () => {
    for (const { from, event, to } of edges) {
      const own = to === 'EXPIRED' || to === 'IN_REVIEW' || (from === 'PLACEMENT_UNKNOWN' && to === 'AWAITING_PAYMENT');
      expect(transition(from, event).effects.includes('record'), `${from} ${event}`).toBe(own);
    }
  });
});
