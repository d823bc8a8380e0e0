import { parseArgs, type ParseArgsConfig } from 'node:util';

/** The command line is not understood; the message says what is not. Nothing was done. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The commands that the compose file's service `tools` knows (commands/tools.ts), as npm has them. */
export const TOOLS = ['keys', 'reviews', 'seal-key', 'restored'] as const;

const FOR_NPM = new RegExp(`npm run (?:--silent )?(${TOOLS.join('|')})\\b(?: --(?= ))?`, 'g');

/** A text that says how a command is called by npm, as whoever reads it has called this process: perhaps by `tools`. */
export const asCalled = (text: string, program = process.argv[1] ?? ''): string =>
  /[\\/]tools\.[jt]s$/.test(program) ? text.replaceAll(FOR_NPM, 'docker compose run --rm tools $1') : text;

type Options = NonNullable<ParseArgsConfig['options']>;
type Arguments<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>
>;

/**
 * Options, and words that are none, if the command takes any. Throws {@link UsageError} with what Node first says of what
 * is not understood.
 */
export function readArguments<const O extends Options>(
  args: readonly string[],
  options: O,
  { allowPositionals = true } = {},
): Arguments<O> {
  try {
    return parseArgs({ args: [...args], allowPositionals: allowPositionals as true, options });
  } catch (cause) {
    // Node's second sentence is advice that fits no command of ours.
    throw new UsageError((cause as Error).message.split(/\.\s/)[0], { cause });
  }
}

/** {@link readArguments} of this process; what is not understood ends it with 2 and the usage. */
export function readArgumentsOr<const O extends Options>(usage: string, options: O): Arguments<O> {
  try {
    return readArguments(process.argv.slice(2), options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}.\n\n${asCalled(usage)}\n`);
    process.exit(2);
  }
}

/**
 * For programs that take all they need from the environment, but for a flag perhaps: asked for `--help` they say what they
 * do and end with 0; anything else they do not know ends them with 2, before anything is started. Returns which of the
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
