import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

const SLOWEST = 10;

/**
 * Ends everything with the slowest ten cases, the cases that passed in a second run only (run.ts), and one plain line,
 * `N passed, N failed, N skipped`, for programs.
 */
export default class PlainSummary implements Reporter {
  /** Cases, and files that could not be loaded, by name, with the message. */
  readonly #failedBefore = new Map<string, string>();

  onInit(vitest: Vitest): void {
    process.on('exit', () => this.#print(vitest.state.getTestModules()));
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules)
      for (const { message } of module.errors()) this.#failedBefore.set(module.relativeModuleId, message);
    for (const test of casesOf(modules)) {
      const { state, errors } = test.result();
      if (state === 'failed') this.#failedBefore.set(nameOf(test), errors[0]?.message ?? '');
    }
  }

  #print(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    const cases = casesOf(modules);
    for (const test of cases) count[test.result().state] += 1;
    // A file that could not even be loaded is a failure of its own.
    count.failed += modules.filter((module) => module.errors().length > 0).length;
    const slowest = cases.toSorted((one, other) => durationOf(other) - durationOf(one)).slice(0, SLOWEST);
    console.log(`\nThe slowest ${slowest.length}:`);
    for (const test of slowest) {
      const seconds = (durationOf(test) / 1_000).toFixed(1).padStart(6);
      console.log(`${seconds} s  ${nameOf(test)}`);
    }
    const passed = [
      ...cases.filter((test) => test.result().state === 'passed').map(nameOf),
      ...modules.filter((module) => module.ok()).map(({ relativeModuleId }) => relativeModuleId),
    ];
    const second = passed.filter((name) => this.#failedBefore.has(name));
    if (second.length > 0) console.log(`\nPassed in the second run only: ${second.length}`);
    for (const name of second) console.log(`  ${name}: ${this.#failedBefore.get(name)}`);
    console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`);
  }
}

const casesOf = (modules: readonly TestModule[]): TestCase[] =>
  modules.flatMap((module) => [...module.children.allTests()]);
const nameOf = (test: TestCase): string => `${test.module.relativeModuleId}: ${test.fullName}`;
const durationOf = (test: TestCase): number => test.diagnostic()?.duration ?? 0;
