import { type DepositEvent, type OpenState, type Step, TRANSITIONS } from '../../domain/deposit.ts';
import { type Change, describeChanges } from '../support/gate-changes.ts';
import {
  announced,
  both,
  either,
  ended,
  not,
  ofKind,
  ofType,
  ran,
  signalled,
  type Touches,
} from '../support/gate-predicates.ts';

/** Each step of the transition table, changed alone, is caught in every recorded path that takes it, and in no other. */

const placement = (kind: string) => both(either(ran('placeOrder', 'local', ofKind(kind)), settled(kind)));
const settled = (kind: string) => ran('settlePlacement', 'durable', ofKind(kind));
const unknown = both(placement('unknown'), not(signalled('orderAnswered')));
const known = both(ofType('deposit'), not(unknown), not(placement('refused')));
const expired = announced('DepositState', 'EXPIRED');
const good = ran('credit');
/** A payment that the judge has spoken about goes to people at once; one that the books refuse was good before. */
const doubtful = both(ran('recordReview'), not(good));
const endedAs = (as: string) => ended('state', (state) => state === as);

/** How a recording shows that it took the step. */
const TAKEN: Readonly<Record<OpenState, Readonly<Partial<Record<DepositEvent, Touches>>>>> = {
  PLACING: {
    placed: placement('placed'),
    placementUnknown: placement('unknown'),
    placementRefused: endedAs('PLACEMENT_REFUSED'),
    callbackThoughRefused: announced('ReviewReason', 'PAID_THOUGH_REFUSED'),
  },
  PLACEMENT_UNKNOWN: {
    callbackGood: both(unknown, good),
    callbackDoubtful: both(unknown, doubtful),
    placed: signalled('orderAnswered'),
    listeningWindowElapsed: both(unknown, endedAs('UNPAID')),
  },
  AWAITING_PAYMENT: {
    callbackGood: both(known, not(expired), good),
    callbackDoubtful: both(known, not(expired), doubtful),
    paymentWindowElapsed: expired,
  },
  EXPIRED: {
    callbackGood: both(expired, good),
    callbackDoubtful: both(expired, doubtful),
    listeningWindowElapsed: both(expired, endedAs('UNPAID')),
  },
  CREDITING: {
    credited: ran('credit', undefined, ofKind('credited')),
    creditConflict: ran('credit', undefined, ofKind('conflict')),
  },
  IN_REVIEW: {
    decidedCredit: both(ran('decide'), endedAs('CREDITED')),
    decidedReject: both(ran('decide'), endedAs('REJECTED')),
  },
};

const STEPS = Object.entries(TRANSITIONS).flatMap(([state, steps]) =>
  Object.entries(steps).map(([event, step]) => [state as OpenState, event as DepositEvent, step] as const),
);

const TABLE_ENDS = '/** The next state and what to tell the world;';

/** What is announced is announced no more, and the other way round. */
function turned(state: OpenState, event: DepositEvent, { state: next, effects }: Step): Change {
  const isAnnounced = effects.includes('announce');
  const others = effects.filter((effect) => effect !== 'announce');
  const changed = { state: next, effects: isAnnounced ? others : [...others, 'announce'] };
  return {
    what: `${state}, ${event}: ${next} is ${isAnnounced ? 'not announced' : 'announced'}`,
    file: 'domain/deposit.ts',
    from: TABLE_ENDS,
    to: `Object.assign(TRANSITIONS.${state}, { ${event}: ${JSON.stringify(changed)} });\n${TABLE_ENDS}`,
    touches: TAKEN[state][event] ?? (() => false),
    says: new RegExp(`${isAnnounced ? 'the recording announced' : 'this code would announce'} DepositState ${next}`),
  };
}

const CHANGES = STEPS.map((step) => turned(...step));

describeChanges('a step that is changed is caught in each path that takes it, and in no other', CHANGES);
