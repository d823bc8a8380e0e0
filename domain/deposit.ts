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
 * What may happen. `callbackGood` and `callbackDoubtful` are `callbackAccepted` after the judge has spoken;
 * `callbackThoughRefused` is a bound callback that `close` found when the placement had been refused.
 * `settledByPeople`: people credited an unbound payment of this deposit, its row is final. `foundRejected`: the row
 * was final already, because Temporal was restored to an older state. `unboundWhile…`: what the signal named is
 * not the payment that the database binds, so the wait goes on where it was (docs/reference/lifecycle.md#signals-are-hints).
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
 * What the world has to be told on the way:
 * `record` writes the state to the deposit row; `announce` changes the DepositState search attribute. States that an
 * activity writes together with its own effect (placement, credit, close) need no `record`.
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

/** Nothing was recorded or announced on the way there, so nothing has to be taken back. */
const waitingGoesOn = {
  unboundWhileAwaiting: step('AWAITING_PAYMENT'),
  unboundWhileExpired: step('EXPIRED'),
  unboundWhileUnknown: step('PLACEMENT_UNKNOWN'),
} as const;

/** Missing pairs change nothing: they are facts that came too late to matter, or cannot come at all. */
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
    // An answer that came after we had given up on it.
    placed: step('AWAITING_PAYMENT', 'record', 'announce'),
    listeningWindowElapsed: step('UNPAID', 'announce'),
  },
  AWAITING_PAYMENT: {
    ...waitingForPayment,
    paymentWindowElapsed: step('EXPIRED', 'record', 'announce'),
    // The answer that was heard of is not in the row.
    unboundWhileUnknown: step('PLACEMENT_UNKNOWN'),
  },
  // "Expired" means "not heard of yet", never "not paid": the callback is as welcome as before (docs/reference/lifecycle.md, L30).
  EXPIRED: { ...waitingForPayment, listeningWindowElapsed: step('UNPAID', 'announce') },
  CREDITING: {
    credited: step('CREDITED', 'announce'),
    creditConflict: step('IN_REVIEW', 'record', 'announce'),
    // The payment that the database binds is another than the signal said.
    callbackGood: step('CREDITING'),
    callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
    ...settled,
    ...waitingGoesOn,
  },
  IN_REVIEW: {
    decidedCredit: step('CREDITED', 'announce'),
    decidedReject: step('REJECTED', 'announce'),
    // Another payment of the deposit lies in its wallet.
    decidedRejectThoughCredited: step('CREDITED', 'announce'),
    // Before people are asked: the payment that led here is not the one that the database binds.
    callbackGood: step('CREDITING'),
    callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
    ...settled,
    ...waitingGoesOn,
  },
};

/** The next state and what to tell the world; the same state and nothing when the event changes nothing. */
export function transition(state: DepositState, event: DepositEvent): Transition {
  if (isFinal(state)) return step(state);
  return TRANSITIONS[state][event] ?? step(state);
}

/** Events that lead back to where the row never left: what was heard of was not what the database binds. */
const isTakenBack = (event: string): boolean => event.startsWith('unboundWhile');

/**
 * The changes of state that rows show, as `from>to`. Nobody writes CREDITING, so whatever leads there leads to what follows
 * it; what follows it stays allowed, for a row that says so. An adopted row says PLACEMENT_UNKNOWN while its new workflow
 * is PLACING (docs/guides/restore.md), so what follows the one may follow the other. The database refuses all else (`P0E50`).
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
