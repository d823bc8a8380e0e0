import { createVitest, parseCLI } from 'vitest/node';

/**
 * `npm test`: Vitest, with its own arguments. On a CI, whose machine can starve one test, the failed files run a second time,
 * each alone after all others and in a process of its own; the summary names them. Locally they stay red.
 */

/** So many failed files are no accident. */
const MOST_AGAIN = 3;

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)]);
const vitest = await createVitest('test', { ...options, watch: false });
try {
  const { unhandledErrors } = await vitest.start(filter);
  const failed = vitest.state.getTestModules().filter((module) => !module.ok());
  if (process.env['CI'] !== undefined && failed.length <= MOST_AGAIN) {
    for (const module of failed) await vitest.runTestSpecifications([module.toTestSpecification()]);
    const isWhole = vitest.state.getTestModules().every((module) => module.ok());
    if (failed.length > 0 && unhandledErrors.length === 0 && isWhole) process.exitCode = 0;
  }
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Error && error.name === 'FilesNotFoundError' ? error.message : error);
} finally {
  await vitest.exit();
}
