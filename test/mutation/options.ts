import { ROOMS, type Room } from './rooms.ts';

/** Stryker's options for a room; paths from the root. */
export const optionsOf = (room: Room) => ({
  mutate: ROOMS[room].mutate,
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts' },
  plugins: ['@stryker-mutator/vitest-runner'],
  concurrency: 2,
  // A busy machine is no endless loop. Most of those are counted, and not waited for.
  timeoutMS: 30_000,
  disableTypeChecks: false,
  // None: it would be rewritten by a compiler that is JavaScript, which ours is not.
  tsconfigFile: 'none',
  ignorePatterns: ['.cache', '.data', 'audit-reports', 'dist', 'test-output', 'test/histories'],
  tempDirName: `.cache/mutation/${room}`,
  reporters: ['json', 'progress'],
  jsonReporter: { fileName: `test-output/mutation/${room}.json` },
  incremental: process.env['MUTATION_INCREMENTAL'] !== undefined,
  incrementalFile: `test-output/mutation/${room}.incremental.json`,
  thresholds: { break: null },
});
