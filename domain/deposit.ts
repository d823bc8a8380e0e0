/**
 * The life of a deposit as one table. `transition` is total: every pair of state and event has an answer, and the
 * workflow, the diagram in docs/reference/lifecycle.md and the exhaustive explorer all read it. No I/O, no clock.
 */

/** In the order of a deposit's life. */
export const DEPOSIT_STATES = [
  'PLACING',
  'PLACEMENT_REFUSED',
  'PLACEMENT_UNKNOWN',
  'AWAITING_PAYMENT',
  'EXPIRED',
  'CREDITING',
  'IN_REVIEW',
  'CREDITED',
  'REJECTED',
  'UNPAID',
] as const;
export type DepositState = (typeof DEPOSIT_STATES)[number];

export const FINAL_STATES = ['PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'] as const;
export type FinalState = (typeof FINAL_STATES)[number];
export type OpenState = Exclude<DepositState, FinalState>;
export const isFinal = (state: DepositState): state is FinalState =>
  (FINAL_STATES as readonly string[]).includes(state);

/**
 * The events that need an explanation:
 * - `callbackGood`, `callbackDoubtful`: a callback was accepted and judged;
 * - `callbackThoughRefused`: `close` found a bound callback although the placement was refused;
 * - `settledByPeople`: operators credited an unbound payment of this deposit, and its row is final;
 * - `foundRejected`: the row was final already, because Temporal was restored to an older state;
 * - `unboundWhile…`: the signal named another payment than the database binds, so the deposit waits on in the same
 *   state (docs/reference/lifecycle.md#signals-are-hints).
 */
export const DEPOSIT_EVENTS = [
  'placed',
  'placementRefused',
  'placementUnknown',
  'callbackGood',
  'callbackDoubtful',
  'callbackThoughRefused',
  'paymentWindowElapsed',
  'listeningWindowElapsed',
  'credited',
  'creditConflict',
  'decidedCredit',
  'decidedReject',
  'decidedRejectThoughCredited',
  'settledByPeople',
  'foundRejected',
  'unboundWhileAwaiting',
  'unboundWhileExpired',
  'unboundWhileUnknown',
] as const;
export type DepositEvent = (typeof DEPOSIT_EVENTS)[number];

/**
 * Effects of a transition. `record` writes the state to the deposit row; `announce` changes the DepositState search
 * attribute. States that an activity writes together with its own effect (placement, credit, close) need no `record`.
 */
export type Effect = 'record' | 'announce';

export interface Transition {
  readonly state: DepositState;
  readonly effects: readonly Effect[];
}

const step = (state: DepositState, ...effects: Effect[]): Transition => ({ state, effects });

const settled = {
  settledByPeople: step('CREDITED', 'announce'),
  foundRejected: step('REJECTED', 'announce'),
} as const;

const waitingForPayment = {
  callbackGood: step('CREDITING'),
  callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
  ...settled,
} as const;

/** The transition to CREDITING recorded and announced nothing, so the way back has no effects. */
const waitingGoesOn = {
  unboundWhileAwaiting: step('AWAITING_PAYMENT'),
  unboundWhileExpired: step('EXPIRED'),
  unboundWhileUnknown: step('PLACEMENT_UNKNOWN'),
} as const;

/** A missing pair changes nothing: the event came too late to matter, or cannot come at all. */
export const TRANSITIONS: Readonly<Record<OpenState, Readonly<Partial<Record<DepositEvent, Transition>>>>> = {
  PLACING: {
    placed: step('AWAITING_PAYMENT'),
    placementUnknown: step('PLACEMENT_UNKNOWN', 'announce'),
    // Only after `close` has looked for a callback under the row's lock (docs/reference/lifecycle.md, L31).
    placementRefused: step('PLACEMENT_REFUSED', 'announce'),
    callbackThoughRefused: step('IN_REVIEW', 'record', 'announce'),
    ...settled,
  },
  PLACEMENT_UNKNOWN: {
    ...waitingForPayment,
    // The answer came after the placement had been settled as unknown.
    placed: step('AWAITING_PAYMENT', 'record', 'announce'),
    listeningWindowElapsed: step('UNPAID', 'announce'),
  },
  AWAITING_PAYMENT: {
    ...waitingForPayment,
    paymentWindowElapsed: step('EXPIRED', 'record', 'announce'),
    // The signaled answer is not in the row.
    unboundWhileUnknown: step('PLACEMENT_UNKNOWN'),
  },
  // "Expired" means "no callback yet", never "not paid": a callback is taken as before
  // (docs/reference/lifecycle.md, L30).
  EXPIRED: { ...waitingForPayment, listeningWindowElapsed: step('UNPAID', 'announce') },
  CREDITING: {
    credited: step('CREDITED', 'announce'),
    creditConflict: step('IN_REVIEW', 'record', 'announce'),
    // The database binds another payment than the signal named.
    callbackGood: step('CREDITING'),
    callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
    ...settled,
    ...waitingGoesOn,
  },
  IN_REVIEW: {
    decidedCredit: step('CREDITED', 'announce'),
    decidedReject: step('REJECTED', 'announce'),
    // Another payment of the deposit is in its wallet.
    decidedRejectThoughCredited: step('CREDITED', 'announce'),
    // Before a case opens: the payment that led here is not the one that the database binds.
    callbackGood: step('CREDITING'),
    callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
    ...settled,
    ...waitingGoesOn,
  },
};

/** The next state and its effects; the same state without effects when the event changes nothing. */
export function transition(state: DepositState, event: DepositEvent): Transition {
  if (isFinal(state)) return step(state);
  return TRANSITIONS[state][event] ?? step(state);
}

/** Events that lead back to the state that the row never left: the signal had named an unbound payment. */
const isTakenBack = (event: string): boolean => event.startsWith('unboundWhile');

/**
 * The changes of state that rows show, as `from>to`. No row is written as CREDITING, so the states before it lead to
 * the states after it; a row that has it may still leave it. An adopted row is PLACEMENT_UNKNOWN while its new workflow
 * is PLACING (docs/guides/restore.md), so the next states of PLACING are allowed for it too. The database refuses all
 * other changes (`P0E50`).
 */
export function shownTransitions(): ReadonlySet<string> {
  const after = (state: OpenState): DepositState[] =>
    Object.entries(TRANSITIONS[state])
      .filter(([event]) => !isTakenBack(event))
      .map(([, step]) => step.state);
  const shown = (Object.keys(TRANSITIONS) as OpenState[]).flatMap((from) =>
    [...after(from), ...(from === 'PLACEMENT_UNKNOWN' ? after('PLACING') : [])]
      .flatMap((to) => (to === 'CREDITING' ? after('CREDITING') : [to]))
      .filter((to) => to !== from && to !== 'CREDITING')
      .map((to) => `${from}>${to}`),
  );
  return new Set(shown);
}
