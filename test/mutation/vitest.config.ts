import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type Reporter, type TestModule, type TestSpecification, type Vitest } from 'vitest/node';
import { ROOMS, type Room } from './rooms.ts';

/** Quick files first: one failure suffices. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- the sequencer's own method
    return (await super.sort(files)).toReversed();
  }
}

/** A file that a mutant keeps from being loaded has no tests, and Stryker would take that for green. */
class Unloaded implements Reporter {
  #vitest: Vitest | undefined;
  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }
  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) this.#vitest?.state.catchError(error, 'Unloaded');
  }
}

/** The tests of one room, without the servers of the whole suite: a mutant costs little more than the tests that reach it. */
export default defineConfig({
  resolve: {
    alias: [{ find: /^fast-check$/, replacement: fileURLToPath(new URL('fewer-runs.ts', import.meta.url)) }],
  },
  test: {
    include: ROOMS[process.env['MUTATION_ROOM'] as Room].tests.map((name) => `test/${name}.test.ts`),
    isolate: false,
    reporters: process.env['STRYKER_MUTATOR_WORKER'] === undefined ? ['default'] : [new Unloaded()],
    sequence: { sequencer: QuickFirst },
    setupFiles: ['test/support/one-after-the-other.ts'],
    // A test that hangs because of a mutant fails long before Stryker kills its process.
    testTimeout: 15_000,
    hookTimeout: 15_000,
  },
});
