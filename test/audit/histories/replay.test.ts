import { readFile } from 'node:fs/promises';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { expect, onTestFinished, test } from 'vitest';
import { parseHistory } from '../../../archive/canonical-history.ts';
import { readHistory } from '../../../archive/history.ts';
import { replayFault } from '../../../audit/run/archived-work.ts';
import { createReplayer } from '../../../audit/histories/replay.ts';
import { required } from '../../support/database.ts';
import { recordedHistories } from '../../support/workflows/histories.ts';
import { quietRuntime } from '../../support/runtime.ts';
import { until } from '../../support/until.ts';

quietRuntime();
const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
const credited = (await recordedHistories()).find(({ name }) => name === 'v2/credited')!.history;

/** The SDK waits for the first workflow task. */
const endless: History = { events: credited.events!.slice(0, 1) };

test('a history whose replay never ends is told as such, and the next one is replayed', async () => {
  const replayer = createReplayer(code, {}, 1_000);
  onTestFinished(() => replayer.close());
  const error = await replayer.replay('deposit:endless', endless);
  expect(error?.message).toBe('replaying it does not come to an end within 1 s');
  // On a busy machine a second may be too short for that too.
  await until('the next one to be replayed', async () => (await replayer.replay('deposit:next', credited)) === null);
});

test('what a worker that stood still has recorded is a finding that says so, and nothing is excused by it', async () => {
  const replayer = createReplayer(code);
  onTestFinished(() => replayer.close());
  // Recorded by a worker that was stopped for four seconds, when a task had three.
  const history = parseHistory(await readFile(new URL('./stalled-worker.json', import.meta.url), 'utf8'));
  const [finding, ...more] = await replayFault({ dataConverter: {} }, replayer, readHistory(history), history);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ kind: 'replay_differs', where: 'deposit:o-fr-2-1-pl6zbl' });
  expect(finding!.detail).toMatch(/credit.*; a worker stood still at event 25, which alone can be the reason/);
});
