import { afterAll, vi } from 'vitest';

/** Files share a process, one after the other: replacements that one file makes are undone before the next. */
const before = { ...process.env };
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
});
