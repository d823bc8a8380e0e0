import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import { withDirectLoopback } from './config/loopback.ts';
import { forgetLocalEnv } from './local/stack/local-env.ts';

/** Those that take longer than half a minute, the longest first: one that begins as the last is waited for by everybody. */
const LONGEST = [
  'end-to-end/recovery/restores',
  'end-to-end/recovery/crashes',
  'sandbox/outage',
  'end-to-end/recovery/owners',
  'end-to-end/recovery/poisoned-rows',
  'model/model',
  'audit/discrepancies',
  'audit/histories/changed-history',
  'end-to-end/secrets/key-rotation',
  'audit/tables/times',
  'local/stack',
  'local/integrate',
  'audit/run/killed',
  'workflows/gate-activities',
  'audit/forgeries',
  'workflows/gate-decisions',
  'end-to-end/secrets/canaries',
  'end-to-end/menu',
  'end-to-end/traffic',
  'local/postgres',
  'fuzz/fuzz',
  'sandbox/browser',
  'end-to-end/decisions/settings',
  'audit/histories/paths',
  'end-to-end/recovery/outages',
  'attack/attack',
  'end-to-end/placement/create',
  'end-to-end/secrets/codec-browser',
  'end-to-end/decisions/decisions',
  'end-to-end/archive',
  'local/servers',
  'adversary/adversary',
  'workflows/gate-patch',
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

// Of the stack that a terminal knows, nothing is meant for the tests.
forgetLocalEnv(process.env);
// A company's network: whoever asks its proxy for this machine gets another one, or nothing.
Object.assign(process.env, withDirectLoopback(process.env));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process takes one file after the other: starting one and loading everything into it takes longer than most files.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/one-after-the-other.ts'],
    // The native core of the Temporal worker crashes when two threads load it.
    pool: 'forks',
    // Workflows, replays and messages allocate much that lives for a moment: a tenth less of a core goes to collecting it.
    execArgv: ['--max-semi-space-size=32'],
    // Every file has a database and a namespace of Temporal of its own. Four at a time on two cores: a good part of their
    // time they wait for timers of Temporal and for processes to start.
    maxWorkers: 4,
    // A call of Temporal's client that waited for its next try when its file ended: it fails from a timer, and nobody asks.
    onUnhandledError: ({ message }) => message !== 'Channel has been shut down',
    // Only what hangs takes so long, on any machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default', './test/support/plain-summary.ts'],
  },
});
