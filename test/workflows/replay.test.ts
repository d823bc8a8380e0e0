import { readFileSync } from 'node:fs';
import { Worker } from '@temporalio/worker';
import { describe, expect, test } from 'vitest';
import { recordedCommands } from '../../archive/recorded-commands.ts';
import { required } from '../support/database.ts';
import { bundleForGate } from '../support/gate/bundle.ts';
import { differences } from '../support/gate/gate.ts';
import { ran, recordedPaths } from '../support/gate/predicates.ts';
import { isSettled } from '../support/workflows/histories.ts';
import { quietRuntime } from '../support/runtime.ts';

/**
 * Recorded histories replay from their files, without a server: a deploy must not break them. A recording that this
 * code would have decided otherwise fails with the decision in words; the tests gate-*.test.ts prove that none is
 * missed.
 */
quietRuntime();
const paths = await recordedPaths();
const recordings = paths.map(({ recorded }) => recorded);

/**
 * The paths of v1, those added with decisions, those in which a single rule decides, one in which the ledger says what
 * it refuses, and those of hints: the hint differs from the bound payment, or the row has ended already.
 */
const PATHS = [
  'credited',
  'credited-after-cancel',
  'credited-after-late-answer',
  'credited-after-unknown',
  'credited-durably',
  'credited-late',
  'credited-paid-before-answer',
  'credited-settled-placement',
  'credited-signalled-often',
  'credited-while-closing',
  'in-review-amount',
  'in-review-late',
  'in-review-ledger-conflict',
  'in-review-paid-though-refused',
  'placement-refused',
  'placement-refused-settled',
  'review',
  'unpaid',
  'unpaid-after-unknown',
];
const DECIDED = [
  'decided-after-refusal',
  'decided-after-withdrawal',
  'decided-alone',
  'decided-credit',
  'decided-durably',
  'decided-late-reject',
  'decided-proposed-early',
  'decided-reject',
  'reversal-kept-and-released',
  'review-parked-credit',
  'review-proposed-while-parking',
  'review-reject',
];
const RULED = [
  'archive',
  'credited-price',
  'credited-within-fee',
  'in-review-after-unknown',
  'in-review-cap',
  'in-review-currency',
  'in-review-durably',
  'in-review-ledger-rejected',
  'in-review-price',
  'in-review-rate',
  'review-not-parked',
  'review-parked-durably',
  'unpaid-durably',
];
const REFUSED = ['in-review-ledger-refused'];
const HINTED = [
  'credited-after-false-hint',
  'credited-after-false-hint-durably',
  'credited-after-forged-answer',
  'credited-after-forged-doubt',
  'credited-told-while-asking',
  'credited-after-forged-doubt-while-expired',
  'credited-after-forged-doubt-while-unknown',
  'credited-after-forged-payment',
  'credited-after-forged-time',
  'credited-after-forged-unknown',
  'credited-after-forged-while-placing',
  'credited-after-hint',
  'credited-beside',
  'credited-told-otherwise',
  'credited-told-short',
  'decided-after-early-confirmation',
  'decided-after-forged-confirmation',
  'decided-after-forged-steps',
  'decided-found',
  'found-rejected-before-review',
  'found-rejected-while-awaiting',
  'found-rejected-while-crediting',
  'found-rejected-while-expired',
  'found-rejected-while-placing',
  'found-rejected-while-unknown',
  'in-review-after-forged-answer',
  'in-review-told-otherwise',
  'in-review-told-shorter',
  'rejected-though-credited',
  'review-decided-found',
  'settled-before-review',
  'settled-unheard',
  'settled-while-awaiting',
  'settled-while-crediting',
  'settled-while-expired',
  'settled-while-placing',
  'settled-while-refused',
  'settled-while-unknown',
  'unpaid-after-forged-payment',
  'unpaid-told-while-closing',
];

describe('the recordings', () => {
  test('there is one for every path of every release', () => {
    const v1 = PATHS.map((name) => `v1/${name}`);
    const v2 = [...PATHS, ...DECIDED, ...RULED].map((name) => `v2/${name}`);
    const v3 = [...PATHS, ...DECIDED, ...RULED, ...REFUSED, ...HINTED].map((name) => `v3/${name}`);
    expect(recordings.map(({ name }) => name).toSorted()).toEqual([...v1, ...v2, ...v3].toSorted());
  });

  test('each ends when nothing is under way, and says what its local activities were given', () => {
    expect(recordings.filter(({ history }) => !isSettled(history)).map(({ name }) => name)).toEqual([]);
    const silent = recordings.filter(({ history, given }) =>
      recordedCommands(history).some(
        ({ eventId, command }) => command.kind === 'activity' && command.local && given[eventId] === undefined,
      ),
    );
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  const effects = readFileSync(new URL('../../workflows/activity-calls.ts', import.meta.url), 'utf8');
  const asked = [...effects.matchAll(/\b(local|durable)\(.*\)\.(\w+)\(/g)].map((match) => [match[2]!, match[1]!]);

  test.each(asked)('one of them has the activity %s, %s', (name, where) => {
    expect(paths.some(ran(name, where as 'local' | 'durable'))).toBe(true);
  });

  const rules = /export type JudgedReason =([^;]+);/.exec(
    readFileSync(new URL('../../domain/judge.ts', import.meta.url), 'utf8'),
  )![1]!;

  test.each([...rules.matchAll(/'(\w+)'/g)].map((match) => match[1]!))('one of them is in review for %s', (reason) => {
    const reasons = paths.flatMap(({ commands }) =>
      commands.map((command) => (command.kind === 'announcement' ? command.attributes['ReviewReason'] : null)),
    );
    expect(reasons).toContain(reason);
  });
});

describe('every recording replays on this code', async () => {
  const onProduct = new Map<string, Error | undefined>();
  const workflowBundle = { codePath: required('TEST_WORKFLOW_BUNDLE') };
  let next = 0;
  for await (const { error } of Worker.runReplayHistories({ workflowBundle }, recordings)) {
    onProduct.set(recordings[next++]!.name, error);
  }
  const changed = await differences(await bundleForGate(), recordings);

  test.each(recordings.map(({ name }) => name))('%s', (name) => {
    const difference = changed.get(name);
    if (difference !== undefined) throw new Error(failure(name, difference.sentence));
    // The bundle that workers run, without the gate's interceptors.
    expect(onProduct.has(name)).toBe(true);
    expect(onProduct.get(name)).toBeUndefined();
  });
});

const failure = (name: string, sentence: string): string =>
  [
    `${name}: ${sentence}.`,
    'Deposits that are open, and every one that was archived, would be decided otherwise from there on.',
    'Put the change behind patched(): docs/internals/changing-workflows.md.',
  ].join('\n');
