import { type DepositEvent, type OpenState, type Transition, TRANSITIONS } from '../../domain/deposit.ts';
import { type Change, describeChanges } from '../support/gate/changes.ts';
import { took } from '../support/gate/steps.ts';

/** Each step of the transition table, changed alone, is caught in every recorded path that takes it, and in no other. */

const STEPS = Object.entries(TRANSITIONS).flatMap(([state, steps]) =>
  Object.entries(steps).map(([event, step]) => [state as OpenState, event as DepositEvent, step] as const),
);

const TABLE_ENDS = '/** The next state and its effects;';

/** Turns an announced step into a silent one, and the reverse. */
function turned(state: OpenState, event: DepositEvent, { state: next, effects }: Transition): Change {
  const isAnnounced = effects.includes('announce');
  const others = effects.filter((effect) => effect !== 'announce');
  const changed = { state: next, effects: isAnnounced ? others : [...others, 'announce'] };
  return {
    what: `${state}, ${event}: ${next} is ${isAnnounced ? 'not announced' : 'announced'}`,
    file: 'domain/deposit.ts',
    from: TABLE_ENDS,
    to: `Object.assign(TRANSITIONS.${state}, { ${event}: ${JSON.stringify(changed)} });\n${TABLE_ENDS}`,
    touches: took(state, event),
    says: isAnnounced
      ? // Announcing may begin with a patch.
        new RegExp(`the recording (announced DepositState ${next}|went the new way of patch announce-no-hints)`)
      : new RegExp(`this code would announce DepositState ${next}`),
  };
}

const CHANGES = STEPS.map((step) => turned(...step));

describeChanges('a step that is changed is caught in each path that takes it, and in no other', CHANGES);
