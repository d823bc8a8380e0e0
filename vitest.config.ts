import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import { withDirectLoopback } from './config/loopback.ts';

/**
 * Files that start no engine and leave nothing behind in their process: these share one, because starting a process and
 * loading everything into it takes longer than most of them.
 */
const SHARING = ['archive', 'database', 'docs', 'domain', 'config', 'ledger', 'providers'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

/** The longest, first: one that begins as the last is waited for by everybody. */
const LONGEST = [
  'end-to-end/crashes',
  'end-to-end/restores',
  'model/model',
  'end-to-end/decisions-settings',
  'audit/discrepancies',
  'audit/forgeries',
  'audit/paths',
  'end-to-end/key-rotation',
  'audit/killed',
  'sandbox/outage',
  'end-to-end/owners',
  'attack/attack',
  'local/stack',
  'archive/archiving',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`test/${name}.test.ts`));
      return at === -1 ? LONGEST.length : at;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- the sequencer's own method
    const usual = await super.sort(files);
    return usual.toSorted((one, other) => rank(one) - rank(other));
  }
}

// A company's network: whoever asks its proxy for this machine gets another one, or nothing.
Object.assign(process.env, withDirectLoopback(process.env));

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'sharing', include: SHARING, isolate: false } },
      { extends: true, test: { name: 'whole', include: ['test/**/*.test.ts'], exclude: SHARING } },
    ],
    sequence: { sequencer: LongestFirst },
    globalSetup: ['test/support/global-setup.ts'],
    // The native core of the Temporal worker crashes when two threads load it.
    pool: 'forks',
    // Every file has a database of its own, and a Temporal server where it needs one. Three at a time on two cores: a
    // good part of their time they wait for timers of Temporal and for processes to start.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A shared machine can starve one test; there it gets a second try, and the report still names it. Locally it is red.
    retry: process.env['CI'] === undefined ? 0 : 1,
    reporters: ['default', './test/support/plain-summary.ts'],
  },
});
