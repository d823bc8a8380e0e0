import { describe, expect, test } from 'vitest';
import type { Activities } from '../../../activities/index.ts';
import type { Command } from '../../../archive/recorded-commands.ts';
import { wordsOf } from '../../../audit/histories/decision-words.ts';
import { explainDifference } from '../../../audit/histories/difference.ts';
import { recordedHistories } from '../../support/workflows/histories.ts';

/** The SDK 1.24.0's literal messages for recorded histories replayed on changed code. */
const nondeterminism = (detail: string): Error =>
  new Error(
    `Replay failed with a nondeterminism error. This means that the workflow code as written is not compatible with the history that was fed in. Details: Workflow activation completion failed: Failure { failure: Some(Failure { message: "[TMPRL1100] Nondeterminism error: ${detail}", source: "", stack_trace: "", encoded_attributes: None, cause: None, failure_info: Some(ApplicationFailureInfo(ApplicationFailureInfo { r#type: "", non_retryable: false, details: None, next_retry_delay: None, category: Unspecified })) }), force_cause: NonDeterministicError }`,
  );
const thrown = (message: string): Error =>
  new Error(
    `Replay failed due workflow task failure. Details: Workflow activation completion failed: Failure { failure: Some(Failure { message: "${message}", source: "TypeScriptSDK", stack_trace: "workflow-bundle.js:6627\\n            throw this.workflowTaskError;\\n            ^\\n\\nError: boom\\n    at Object.PLACING (null:null:null)", encoded_attributes: None, cause: None, failure_info: None }), force_cause: Unspecified }`,
  );

const histories = new Map((await recordedHistories()).map(({ name, history }) => [name, history]));

const SAID: readonly (readonly [what: string, name: string, error: Error, sentence: string])[] = [
  [
    'a local activity is another',
    'v1/credited',
    nondeterminism(
      "Activity type of recorded marker 'credit' does not match activity type of local activity command 'recordReview'",
    ),
    'at event 12 the recording credited the deposit (local activity credit); this code would record a review (local activity recordReview) instead',
  ],
  [
    'a durable activity is another, and the recording has several of its name',
    'v2/decided-after-refusal',
    nondeterminism(
      "Activity type of scheduled event 'decide' does not match activity type of activity command 'recordReview'",
    ),
    'the recording carried out what people decided (activity decide); this code would record a review (activity recordReview) instead',
  ],
  [
    'a local activity is not asked for',
    'v1/credited-late',
    nondeterminism('Missing associated machine for LocalActivity(2)'),
    'at event 11 the recording recorded the state (local activity recordState); this code would not',
  ],
  [
    'a patch is not asked for',
    'v3/credited-after-forged-while-placing',
    nondeterminism(
      'Non-deprecated patch marker encountered for change announce-no-hints, but there is no corresponding change command!',
    ),
    'at event 16 the recording went the new way of patch announce-no-hints; this code would not',
  ],
  [
    'a timer is not started',
    'v1/credited',
    nondeterminism('No command scheduled for event HistoryEvent(id: 6, TimerStarted)'),
    'at event 6 the recording waited for the payment window (timer, 30 min); this code would not',
  ],
  [
    'the end comes early',
    'v1/credited',
    nondeterminism(
      'Complete workflow machine does not handle this event: HistoryEvent(id: 13, UpsertWorkflowSearchAttributes)',
    ),
    'at event 13 the recording announced DepositState CREDITED, TransactionCode AT6164D75B6B091D; this code would end instead',
  ],
  [
    'the workflow fails',
    'v1/credited-durably',
    nondeterminism('Fail workflow machine does not handle this event: HistoryEvent(id: 13, ActivityTaskScheduled)'),
    'at event 13 the recording credited the deposit (activity credit); this code would fail instead',
  ],
  [
    'an update is answered at once',
    'v2/decided-credit',
    nondeterminism('Update machine does not handle this event: HistoryEvent(id: 18, ActivityTaskScheduled)'),
    'at event 18 the recording showed which proposal waits (activity recordProposal); this code would answer an update instead',
  ],
  [
    'something is announced once more',
    'v1/credited-late',
    nondeterminism('UpsertWorkflowSearchAttributesMachine does not handle HistoryEvent(id: 13, TimerStarted)'),
    'at event 13 the recording waited for the listening window (timer, 73 h); this code would announce instead',
  ],
  [
    'something is waited for at the end',
    'v1/credited',
    nondeterminism('Timer machine does not handle this event: HistoryEvent(id: 14, WorkflowExecutionCompleted)'),
    'at event 14 the recording ended CREDITED; this code would wait (timer) instead',
  ],
  ['the code throws', 'v1/credited', thrown('boom'), 'this code fails: boom'],
];

describe('the SDK’s error is told as a decision', () => {
  test.each(SAID)('%s', (_what, name, error, sentence) => {
    expect(explainDifference(histories.get(name)!, error)).toBe(sentence);
  });

  test('an error of another form is quoted, and no more than its first line', () => {
    const error = new Error('Replay failed due to internal SDK issue. Code: FATAL\n  and its stack');
    expect(explainDifference(histories.get('v1/credited')!, error)).toBe(
      'this code fails: Replay failed due to internal SDK issue. Code: FATAL',
    );
  });
});

test('every activity has words of its own', () => {
  const names: Readonly<Record<keyof Activities, true>> = {
    placeOrder: true,
    settlePlacement: true,
    close: true,
    credit: true,
    recordState: true,
    recordReview: true,
    settlement: true,
    caseOutcome: true,
    park: true,
    recordProposal: true,
    decide: true,
    archiveClosed: true,
  };
  const words = Object.keys(names).map((name) => wordsOf(asked(name)).did);
  expect(words.filter((did) => did.startsWith('ran an activity'))).toEqual([]);
  expect(new Set(words).size).toBe(words.length);
  expect(wordsOf(asked('elsewhere')).did).toBe('ran an activity (activity elsewhere)');
});

const asked = (name: string): Command => ({ kind: 'activity', name, local: false, input: [], summary: null });
