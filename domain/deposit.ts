/**
 * The life of a deposit as one table. `transition` is total: every pair of state and event has an answer, and the
 * workflow, the diagram in docs/lifecycle.md and the exhaustive explorer all read it. No I/O, no clock.
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
] as const;
export type DepositEvent = (typeof DEPOSIT_EVENTS)[number];

/**
 * What the world has to be told on the way:
 * `record` writes the state to the deposit row; `announce` changes the DepositState search attribute. States that an
 * activity writes together with its own effect (placement, credit, close) need no `record`.
 */
export type Effect = 'record' | 'announce';

export interface Step {
  readonly state: DepositState;
  readonly effects: readonly Effect[];
}

const step = (state: DepositState, ...effects: Effect[]): Step => ({ state, effects });

const waitingForPayment = {
  callbackGood: step('CREDITING'),
  callbackDoubtful: step('IN_REVIEW', 'record', 'announce'),
} as const;

/** Missing pairs change nothing: they are facts that came too late to matter, or cannot come at all. */
export const TRANSITIONS: Readonly<Record<OpenState, Readonly<Partial<Record<DepositEvent, Step>>>>> = {
  PLACING: {
    placed: step('AWAITING_PAYMENT'),
    placementUnknown: step('PLACEMENT_UNKNOWN', 'announce'),
    // Only after `close` has looked for a callback under the row's lock (rule 2).
    placementRefused: step('PLACEMENT_REFUSED', 'announce'),
    callbackThoughRefused: step('IN_REVIEW', 'record', 'announce'),
  },
  PLACEMENT_UNKNOWN: {
    ...waitingForPayment,
    // An answer that came after we had given up on it.
    placed: step('AWAITING_PAYMENT', 'record', 'announce'),
    listeningWindowElapsed: step('UNPAID', 'announce'),
  },
  AWAITING_PAYMENT: { ...waitingForPayment, paymentWindowElapsed: step('EXPIRED', 'record', 'announce') },
  // "Expired" means "not heard of yet", never "not paid": the callback is as welcome as before (provider.md, trap 6).
  EXPIRED: { ...waitingForPayment, listeningWindowElapsed: step('UNPAID', 'announce') },
  CREDITING: { credited: step('CREDITED', 'announce'), creditConflict: step('IN_REVIEW', 'record', 'announce') },
  IN_REVIEW: { decidedCredit: step('CREDITED', 'announce'), decidedReject: step('REJECTED', 'announce') },
};

/** The next state and what to tell the world; the same state and nothing when the event changes nothing. */
export function transition(state: DepositState, event: DepositEvent): Step {
  if (isFinal(state)) return step(state);
  return TRANSITIONS[state][event] ?? step(state);
}
