import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { describe, expect, test } from 'vitest';
import { bundleWorkflows } from '../../worker/bundle.ts';
import { required } from '../support/database.ts';
import { quietRuntime } from '../support/runtime.ts';
import { type RecordedHistory, recordedHistories } from '../support/histories.ts';

/** Recorded histories replay from their files, without a server: what a deploy must not break. */
quietRuntime();
const root = fileURLToPath(new URL('../..', import.meta.url));
const histories = await recordedHistories();

const replay = ({ history, workflowId }: RecordedHistory, bundle: { codePath: string } | { code: string }) =>
  Worker.runReplayHistory({ workflowBundle: bundle }, history, workflowId);

/** The paths of the first release, and those that came with decisions. */
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
  'decided-reject',
  'reversal-kept-and-released',
  'review-parked-credit',
  'review-reject',
];

test('there is a recorded history for every path of every release', () => {
  expect(histories.map((recorded) => recorded.name).toSorted()).toEqual(
    [...PATHS.map((name) => `v1/${name}`), ...[...PATHS, ...DECIDED].map((name) => `v2/${name}`)].toSorted(),
  );
});

test.each(histories.map((recorded) => [recorded.name, recorded] as const))(
  '%s replays on this code',
  async (_name, recorded) => {
    await replay(recorded, { codePath: required('TEST_WORKFLOW_BUNDLE') });
  },
);

/** Changes someone might make without noticing what they break. */
const CHANGES = [
  {
    what: 'an activity is renamed',
    file: 'workflows/effects.ts',
    from: '.credit(item)',
    to: '.recordReview(item as never) as never',
    breaks: ['v1/credited', 'v1/credited-late'],
  },
  {
    what: 'a timer is gone',
    file: 'workflows/deposit.ts',
    from: 'settings.paymentWindowMs, {',
    to: '0, {',
    breaks: ['v1/credited'],
  },
  {
    what: 'a condition is turned round',
    file: 'domain/judge.ts',
    from: 'if (received <= asked && received >= asked - fee) return null;',
    to: 'if (received > asked) return null;',
    breaks: ['v1/credited', 'v1/in-review-amount'].slice(0, 1),
  },
  {
    what: 'the end is announced no more',
    file: 'domain/deposit.ts',
    from: "credited: step('CREDITED', 'announce')",
    to: "credited: step('CREDITED')",
    breaks: ['v1/credited', 'v1/credited-durably'],
  },
  {
    what: 'an expiry is recorded no more',
    file: 'domain/deposit.ts',
    from: "step('EXPIRED', 'record', 'announce')",
    to: "step('EXPIRED', 'announce')",
    breaks: ['v1/credited-late', 'v1/unpaid'],
  },
  {
    what: 'a proposal is shown no more',
    file: 'workflows/decisions.ts',
    from: 'await recordProposal(workflowId, message.decisionId);',
    to: '',
    breaks: ['v2/decided-credit', 'v2/review-parked-credit'],
  },
  {
    what: 'a second payment is parked no more',
    file: 'workflows/review.ts',
    from: "standing === 'nothing' && isGoodMoney(input)",
    to: 'false',
    breaks: ['v2/review-parked-credit'],
  },
] as const;

describe('a changed workflow is caught', () => {
  test.each(CHANGES)('$what', async ({ file, from, to, breaks }) => {
    const code = await bundleChanged(file, from, to);
    for (const name of breaks) {
      const recorded = histories.find((history) => history.name === name);
      await expect(replay(recorded!, { code }), name).rejects.toThrow(DeterminismViolationError);
    }
  });
});

async function bundleChanged(file: string, from: string, to: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'deposit-engine-changed-'));
  try {
    await Promise.all(
      ['workflows', 'domain'].map((folder) => cp(join(root, folder), join(copy, folder), { recursive: true })),
    );
    await cp(join(root, 'package.json'), join(copy, 'package.json'));
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    const source = await readFile(join(copy, file), 'utf8');
    expect(source, `${file} still has the line this test changes`).toContain(from);
    await writeFile(join(copy, file), source.replaceAll(from, to));
    return await bundleWorkflows(join(copy, 'workflows/index.ts'));
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}
