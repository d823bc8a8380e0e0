import type { Command } from '../../archive/recorded-commands.ts';

/** A decision in the words of the product: what a recording did, and what code would do. */
export interface DecisionWords {
  /** Past tense: `credited the deposit (local activity credit)`. */
  readonly did: string;
  /** Infinitive: `credit the deposit (local activity credit)`. */
  readonly would: string;
}

const ACTIVITIES: Readonly<Record<string, readonly [did: string, would: string]>> = {
  placeOrder: ['placed the order', 'place the order'],
  settlePlacement: ['settled the placement', 'settle the placement'],
  close: ['closed the deposit unless it was paid', 'close the deposit unless it was paid'],
  credit: ['credited the deposit', 'credit the deposit'],
  recordState: ['recorded the state', 'record the state'],
  settlement: ['looked whether the row is final', 'look whether the row is final'],
  recordReview: ['recorded a review', 'record a review'],
  park: ['parked the money in suspense', 'park the money in suspense'],
  recordProposal: ['showed which proposal waits', 'show which proposal waits'],
  decide: ['carried out what people decided', 'carry out what people decided'],
  caseOutcome: ['looked whether the case is decided', 'look whether the case is decided'],
  archiveClosed: ['archived closed histories', 'archive closed histories'],
};

export function wordsOf(command: Command): DecisionWords {
  switch (command.kind) {
    case 'activity':
      return activityWords(command.name, command.local);
    case 'timer':
      return both(['waited', 'wait'], `${forThe(command.summary)} (timer, ${durationWords(command.durationMs)})`);
    case 'timerCancelled':
      return both(['stopped waiting', 'stop waiting'], forThe(command.summary));
    case 'announcement':
      return both(['announced', 'announce'], ` ${announced(command.attributes)}`);
    case 'updateAccepted':
      return both(['took up', 'take up'], ` the update ${command.name}`);
    case 'updateAnswered':
      return both(command.refused ? ['refused', 'refuse'] : ['answered', 'answer'], ` the update ${command.name}`);
    case 'patch':
      return both(['went', 'go'], ` the new way of patch ${command.id}`);
    case 'end':
      return command.failed ? both(['failed', 'fail'], '') : both(['ended', 'end'], outcomeWords(command.result));
  }
}

export function activityWords(name: string, local: boolean): DecisionWords {
  return both(
    ACTIVITIES[name] ?? ['ran an activity', 'run an activity'],
    ` (${local ? 'local ' : ''}activity ${name})`,
  );
}

const both = ([did, would]: readonly [string, string], rest: string): DecisionWords => ({
  did: did + rest,
  would: would + rest,
});

const forThe = (summary: string | null): string => (summary === null ? '' : ` for the ${summary}`);

const announced = (attributes: Readonly<Record<string, unknown>>): string =>
  Object.entries(attributes)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');

/** A deposit ends in a state, a case with a decision. */
function outcomeWords(result: unknown): string {
  const { state, decision } = (result ?? {}) as { readonly state?: unknown; readonly decision?: unknown };
  if (typeof state === 'string') return ` ${state}`;
  return typeof decision === 'string' ? ` with the decision ${decision}` : '';
}

const UNITS = [
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** Exact, in the largest unit without a rest: `73 h`, `30 min`, `1800001 ms`. */
function durationWords(ms: number): string {
  const unit = UNITS.find(([size]) => ms >= size && ms % size === 0);
  return unit === undefined ? `${ms} ms` : `${ms / unit[0]} ${unit[1]}`;
}
