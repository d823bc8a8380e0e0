import type { Command } from '../../../archive/recorded-commands.ts';
import { type HistoryFacts, type HistoryStep, readHistory } from '../../../archive/history.ts';
import type { DepositSettings } from '../../../domain/order.ts';
import { decisionsOf } from './gate.ts';
import { type RecordedHistory, recordedHistories } from '../workflows/histories.ts';

/** A recorded path with its facts. They show which of its decisions a change would touch, without a replay. */
export interface Path {
  readonly recorded: RecordedHistory;
  readonly facts: HistoryFacts;
  readonly commands: readonly Command[];
}

export type Touches = (path: Path) => boolean;

export const recordedPaths = async (): Promise<Path[]> =>
  (await recordedHistories()).map((recorded) => ({
    recorded,
    facts: readHistory(recorded.history),
    commands: decisionsOf(recorded).map(({ command }) => command),
  }));

type ActivityStep = Extract<HistoryStep, { kind: 'activity' }>;

/** An activity of this name completed, there or anywhere, with a result of this kind. */
export const ran =
  (name: string, where?: 'local' | 'durable', answered: (result: unknown) => boolean = () => true): Touches =>
  ({ facts }) =>
    activities(facts).some(
      (step) =>
        step.name === name && (where === undefined || step.local === (where === 'local')) && answered(step.result),
    );

/** A local activity failed, and the durable one had to do it. */
export const neededTheDurable: Touches = ({ facts }) => activities(facts).some((step) => step.local && step.failed);

const activities = ({ steps }: HistoryFacts): ActivityStep[] => steps.filter((step) => step.kind === 'activity');

/** Matches the `kind` of an activity's result. */
export const ofKind =
  (kind: string) =>
  (result: unknown): boolean =>
    (result as { readonly kind?: unknown } | null)?.kind === kind;

/** An activity was called with a first argument that matches. */
export const gave =
  (name: string, fits: (...input: never[]) => boolean): Touches =>
  ({ commands }) =>
    commands.some(
      (command) =>
        command.kind === 'activity' &&
        command.name === name &&
        command.input !== null &&
        fits(...(command.input as never[])),
    );

/** A timer for this purpose ran, with the duration of the frozen settings. */
export const waited =
  (summary: string, ms: (settings: DepositSettings) => number): Touches =>
  ({ commands, facts }) =>
    commands.some(
      (command) =>
        command.kind === 'timer' &&
        command.summary === summary &&
        command.durationMs === ms((facts.input as { settings: DepositSettings }).settings),
    );

/** A search attribute was written, with this value or any. */
export const announced =
  (attribute: string, value?: string): Touches =>
  ({ commands }) =>
    commands.some(
      (command) =>
        command.kind === 'announcement' &&
        attribute in command.attributes &&
        (value === undefined || command.attributes[attribute] === value),
    );

export const signalled =
  (name: string): Touches =>
  ({ facts }) =>
    facts.steps.some((step) => step.kind === 'signal' && step.name === name);

/** An update was accepted, with this content or any. */
export const updated =
  (name: string, fits: (input: never) => boolean = () => true): Touches =>
  ({ facts }) =>
    facts.steps.some((step) => step.kind === 'update' && step.name === name && fits(step.input as never));

export const ofType =
  (workflowType: string): Touches =>
  ({ facts }) =>
    facts.workflowType === workflowType;

/** The workflow's result has this member, with a value that matches. */
export const ended =
  (member: string, fits: (value: unknown) => boolean): Touches =>
  ({ facts }) =>
    facts.end?.status === 'completed' && fits((facts.end.result as Record<string, unknown> | null)?.[member]);

/** A cancel was requested. */
export const cancelled: Touches = ({ recorded }) =>
  (recorded.history.events ?? []).some((event) => event.workflowExecutionCancelRequestedEventAttributes);

export const both =
  (...all: readonly Touches[]): Touches =>
  (path) =>
    all.every((touches) => touches(path));
export const either =
  (...any: readonly Touches[]): Touches =>
  (path) =>
    any.some((touches) => touches(path));
export const not =
  (touches: Touches): Touches =>
  (path) =>
    !touches(path);
