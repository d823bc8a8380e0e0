import type { Reporter, TestCase, TestModule } from 'vitest/node';

const SLOWEST = 10;

/** Ends the run with the slowest ten cases and one plain line, `N passed, N failed, N skipped`, for programs. */
export default class PlainSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    const cases = modules.flatMap((module) => [...module.children.allTests()]);
    for (const test of cases) count[test.result().state] += 1;
    // A file that could not even be loaded is a failure of its own.
    count.failed += modules.filter((module) => module.errors().length > 0).length;
    const slowest = cases.toSorted((one, other) => durationOf(other) - durationOf(one)).slice(0, SLOWEST);
    process.on('exit', () => {
      console.log(`\nThe slowest ${slowest.length}:`);
      for (const test of slowest) {
        const seconds = (durationOf(test) / 1_000).toFixed(1).padStart(6);
        console.log(`${seconds} s  ${test.module.relativeModuleId}: ${test.fullName}`);
      }
      console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`);
    });
  }
}

const durationOf = (test: TestCase): number => test.diagnostic()?.duration ?? 0;
