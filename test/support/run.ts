import { createVitest, type TestModule } from 'vitest/node';
import { readArgumentsOr } from '../../config/command-line.ts';

/**
 * `npm test`: all tests, or the named files. Where `CI` is set, on a machine that can starve one test, the failed files
 * run a second time, each alone after all others and in a process of its own. The summary names what passed only then.
 * `npx vitest` takes Vitest's own options, and runs everything once.
 */

const USAGE = 'npm test [-- FILE…] [-t "NAME OF A CASE"]';
/** More failed files than these are no accident. */
const MOST_AGAIN = 3;

const { values, positionals } = readArgumentsOr(USAGE, {
  testNamePattern: { type: 'string', short: 't', default: '' },
  root: { type: 'string', default: process.cwd() },
});
const vitest = await createVitest('test', { ...values, watch: false });
try {
  const { unhandledErrors } = await vitest.start(positionals);
  const failed = vitest.state.getTestModules().filter((module) => !module.ok());
  if (process.env['CI'] !== undefined && failed.length <= MOST_AGAIN) {
    const again = [];
    for (const module of failed) again.push(await passesAgain(module));
    if (failed.length > 0 && unhandledErrors.length === 0 && again.every(Boolean)) process.exitCode = 0;
  }
} catch (error) {
  process.exitCode = 1;
  // Vitest has said which files there are none of.
  if (!(error instanceof Error && error.message === 'No test files found')) console.error(error);
} finally {
  await vitest.exit();
}

/** Whether each of its failed cases passes now: none is gone or skipped, no error is unhandled, and its process ends well. */
async function passesAgain(module: TestModule): Promise<boolean> {
  const failed = namesOf(module, 'failed');
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications([module.toTestSpecification()]);
  const again = testModules.find(({ moduleId }) => moduleId === module.moduleId);
  if (again?.state() !== 'passed' || unhandledErrors.length > 0) return false;
  const passed = namesOf(again, 'passed');
  return failed.every((name) => passed.includes(name));
}

function namesOf({ children }: TestModule, state: 'failed' | 'passed'): string[] {
  return [...children.allTests(state)].map(({ fullName }) => fullName);
}
