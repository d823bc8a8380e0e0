import { parseArgs, type ParseArgsConfig } from 'node:util';
import { asCalled } from './called.ts';

/** The command line is not understood; the message says what is. Nothing was done. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Options, and words that are none. Throws {@link UsageError} with what Node first says of what is not understood. */
export function readArguments<const O extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: O,
): ReturnType<typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (cause) {
    // Node's second sentence is advice that fits no command of ours.
    throw new UsageError(`${(cause as Error).message.split('. ')[0]}`, { cause });
  }
}

/**
 * For programs that take all they need from the environment, but for a flag perhaps: asked for `--help` they say what they
 * do and end with 0; anything else they do not know ends them with 2, before anything is started. Answers which of the
 * flags were given; `flags` says of each what it does.
 */
export function takesNoArguments<Flag extends string = never>(
  program: string,
  what: string,
  flags: Readonly<Record<Flag, string>> = {} as Record<Flag, string>,
): ReadonlySet<Flag> {
  const given = process.argv.slice(2);
  const isFlag = (argument: string): argument is Flag => Object.hasOwn(flags, argument);
  if (given.every(isFlag)) return new Set(given);
  const known = Object.entries<string>(flags).map(([flag, does]) => `  ${flag}  ${does}\n`);
  const takes = known.length === 0 ? 'It takes no arguments' : `Arguments:\n${known.join('')}Nothing else`;
  const text = asCalled(
    `${program}: ${what}\n${takes}; its settings are environment variables: see docs/reference/settings.md.`,
  );
  if (given.every((argument) => argument === '--help' || argument === '-h')) {
    process.stdout.write(`${text}\n`);
    process.exit(0);
  }
  const unknown = given.find((argument) => !isFlag(argument));
  process.stderr.write(`Unknown argument ${JSON.stringify(unknown)}.\n\n${text}\n`);
  process.exit(2);
}
