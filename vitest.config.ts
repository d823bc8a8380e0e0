import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // The native core of the Temporal worker crashes when two threads load it.
    pool: 'forks',
    // Two cores, one Postgres, one Temporal: files in turn, so that no test waits for another's load.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', './test/support/plain-summary.ts'],
  },
});
