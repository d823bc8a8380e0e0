import { type DepositEvent, DEPOSIT_STATES, isFinal, type Transition, TRANSITIONS } from '../../domain/deposit.ts';

/**
 * The transition table as a Mermaid state diagram, for docs/reference/lifecycle.md. A test compares the two, so the picture can
 * not drift from the code; when it fails, its message holds the text to put there.
 */
export function diagram(): string {
  const lines = DEPOSIT_STATES.flatMap((state) => {
    if (isFinal(state)) return [`  ${state} --> [*]`];
    return Object.entries(TRANSITIONS[state] as Record<DepositEvent, Transition>).map(
      ([event, step]) => `  ${state} --> ${step.state}: ${event}`,
    );
  });
  return ['stateDiagram-v2', '  [*] --> PLACING', ...lines].join('\n');
}
