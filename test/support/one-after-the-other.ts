import { afterAll, afterEach, beforeEach, vi } from 'vitest';
import { takeWarnings } from './warnings.ts';

/** Files share a process, one after the other: replacements that one file makes are undone before the next. */
const before = { ...process.env };
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
});

// Why an engine did not do what a test expects, it has often said itself.
beforeEach(() => void takeWarnings());
afterEach(({ task }) => {
  const warnings = takeWarnings();
  if (task.result?.state === 'fail' && warnings.length > 0)
    console.log(`Warnings of the engine:\n${warnings.join('')}`);
});
