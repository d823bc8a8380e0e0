import { ConfigError } from '../config/settings/read-environment.ts';
import { WrongSession } from './pool.ts';

/**
 * Imported for its side effect, by commands that operators run on the database. An error that the user can mend, as in
 * a setting or about a server that is away, ends the command with 1 and a sentence. A defect keeps its stack.
 */
process.on('uncaughtException', (error) => {
  process.stderr.write(`${sentenceOf(error) ?? error.stack ?? error.message}\n`);
  process.exit(1);
});

/** The messages of the driver that have no code. */
const OF_THE_DRIVER =
  /^(timeout expired|timeout exceeded|Connection terminated|Query read timeout|SASL|The server does not)/;

function sentenceOf(error: Error): string | null {
  // Each address of a name was tried.
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return sentenceOf(error.errors[0]);
  if (error instanceof ConfigError) return error.message;
  // Of Temporal's client.
  if (error.message === 'Failed to connect before the deadline') return 'Temporal cannot be reached';
  const isOfTheDatabase =
    'severity' in error || 'syscall' in error || error instanceof WrongSession || OF_THE_DRIVER.test(error.message);
  return isOfTheDatabase ? `the database cannot be used: ${error.message}` : null;
}
