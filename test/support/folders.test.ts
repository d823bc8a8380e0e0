import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import { expect, test } from 'vitest';

test('temporary folders of tests, and of what they start, are in the one of the run, which goes with it', () => {
  expect(basename(tmpdir())).toMatch(/^deposit-engine-test-/);
  expect(process.env['TMPDIR']).toBe(tmpdir());
});
