import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { workflowSource } from '../../worker/workflow-source.ts';
import { required } from '../support/database.ts';

const bundle = { workflowBundle: required('TEST_WORKFLOW_BUNDLE') };
const MARKER = /globalThis\.depositEngineFailures = '(plain|encoded)';/;

test('one bundle serves with and without the codec: only its first statement says how failures are written', async () => {
  const sources = await Promise.all([false, true].map((encodes) => workflowSource(bundle, encodes)));
  const [plain, encoded] = sources.map(({ workflowBundle }) => workflowBundle.code);
  expect([MARKER.exec(plain!)![1], MARKER.exec(encoded!)![1]]).toEqual(['plain', 'encoded']);
  expect(plain!.replace(MARKER, '')).toBe(encoded!.replace(MARKER, ''));
  expect(plain!.indexOf('\n')).toBeGreaterThan(plain!.indexOf(';'));
});

test('the build id that histories hold ends in the hash of the code', async () => {
  const { workflowBundle, buildId } = await workflowSource(bundle, false);
  const hash = createHash('sha256').update(workflowBundle.code).digest('hex');
  expect(buildId).toBe(`@temporalio/worker@1.24.0+${hash}`);
});
