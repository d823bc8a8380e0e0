import type { HistoryFacts } from '../../../archive/history.ts';
import { type DepositEvent, type DepositState, isFinal, transition } from '../../../domain/deposit.ts';
import type { Path, Touches } from './predicates.ts';

/**
 * Returns the steps of the transition table that a recorded deposit took, read from the results of its activities. A
 * step is left out if its row had changed before the step was announced: no search attribute shows it.
 */

/** The members of the results that decide. */
interface Answer {
  readonly kind?: string;
  readonly decision?: string;
  readonly state?: string;
  readonly expiresAt?: string | null;
  readonly binds?: object | null;
  readonly inboxId?: string;
  readonly settled?: Answer | null;
}

const BACK = {
  AWAITING_PAYMENT: 'unboundWhileAwaiting',
  EXPIRED: 'unboundWhileExpired',
  PLACEMENT_UNKNOWN: 'unboundWhileUnknown',
} as const;
const isWaiting = (state: DepositState): state is keyof typeof BACK => state in BACK;

export const took =
  (state: DepositState, event: DepositEvent): Touches =>
  (path) =>
    stepsOf(path).has(`${state} ${event}`);

function stepsOf({ facts }: Path): ReadonlySet<string> {
  if (facts.workflowType !== 'deposit') return new Set();
  const reader = new Reader();
  for (const { name, result } of answersOf(facts)) reader.read(name, result);
  return new Set(reader.steps);
}

const answersOf = ({ steps }: HistoryFacts) =>
  steps.flatMap((step) =>
    step.kind === 'activity' && !step.failed ? [{ name: step.name, result: step.result as Answer | null }] : [],
  );

class Reader {
  readonly steps: string[] = [];
  #state: DepositState = 'PLACING';
  #waited: keyof typeof BACK = 'PLACEMENT_UNKNOWN';
  /** The payment was judged; the next activity shows the decision. */
  #isJudged = false;

  read(name: string, answer: Answer | null): void {
    switch (name) {
      case 'placeOrder':
      case 'settlePlacement':
        if (answer?.kind !== 'refused') this.#take(answer?.kind === 'placed' ? 'placed' : 'placementUnknown');
        return;
      case 'close':
        return this.#closed(answer);
      case 'settlement':
        if (answer?.kind === 'settled') this.#settled(answer);
        return;
      case 'recordState':
        return this.#recorded(answer);
      case 'credit':
        return this.#credited(answer);
      case 'recordReview':
        return this.#reviewed(answer);
      case 'decide':
      case 'caseOutcome':
        if (answer?.kind === 'decided') this.#decided(answer);
    }
  }

  #take(event: DepositEvent): void {
    if (isWaiting(this.#state) && !event.startsWith('unbound')) this.#waited = this.#state;
    this.steps.push(`${this.#state} ${event}`);
    this.#state = transition(this.#state, event).state;
  }

  #settled({ state }: Answer): void {
    this.#take(state === 'CREDITED' ? 'settledByPeople' : 'foundRejected');
  }

  #closed(answer: Answer | null): void {
    if (answer === null) this.#take(this.#state === 'PLACING' ? 'placementRefused' : 'listeningWindowElapsed');
    else if (answer.settled) this.#settled(answer.settled);
    else if (this.#state === 'PLACING') this.#take('callbackThoughRefused');
  }

  #recorded(answer: Answer | null): void {
    this.#take(this.#state === 'PLACEMENT_UNKNOWN' ? 'placed' : 'paymentWindowElapsed');
    if (answer?.settled) return this.#overruled(() => this.#settled(answer.settled!));
    if (this.#state !== 'AWAITING_PAYMENT' || answer?.expiresAt !== null) return;
    this.#overruled(() => this.#take('unboundWhileUnknown'));
  }

  #credited(answer: Answer | null): void {
    if (this.#state !== 'CREDITING' || this.#isJudged) this.#take('callbackGood');
    this.#isJudged = false;
    if (answer?.kind === 'credited') this.#take('credited');
    if (answer?.kind === 'conflict') this.#take('creditConflict');
    if (answer?.kind === 'unbound') this.#unbound(answer);
  }

  #reviewed(answer: Answer | null): void {
    if (this.#state !== 'IN_REVIEW' || this.#isJudged) this.#take('callbackDoubtful');
    this.#isJudged = false;
    if (answer?.kind === 'unbound') this.#overruled(() => this.#unbound(answer));
  }

  #unbound({ settled, binds }: Answer): void {
    if (settled) this.#settled(settled);
    else if (binds) this.#isJudged = true;
    else this.#take(BACK[this.#waited]);
  }

  #overruled(next: () => void): void {
    this.steps.pop();
    next();
  }

  #decided({ decision, settled }: Answer): void {
    if (isFinal(this.#state)) return;
    if (decision === 'credit') this.#take('decidedCredit');
    else this.#take(settled ? 'decidedRejectThoughCredited' : 'decidedReject');
  }
}
