import { parseArgs, type ParseArgsConfig } from 'node:util';

/** The command line is not understood; the message names the fault. Nothing was done. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The commands of the compose file's service `tools` (commands/tools.ts), by their npm names. */
export const TOOLS = ['keys', 'reviews', 'endpoints', 'seal-key', 'restored'] as const;

const FOR_NPM = new RegExp(`npm run (?:--silent )?(${TOOLS.join('|')})\\b(?: --(?= ))?`, 'g');

/** Returns a text about npm commands, rewritten for the service `tools` if this process was called through it. */
export const asCalled = (text: string, program = process.argv[1] ?? ''): string =>
  /[\\/]tools\.[jt]s$/.test(program) ? text.replaceAll(FOR_NPM, 'docker compose run --rm tools $1') : text;

type Options = NonNullable<ParseArgsConfig['options']>;
type Arguments<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>
>;

/**
 * Reads options, and positional words if the command takes any. Throws {@link UsageError} with the first sentence of
 * Node's message.
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

/** Ends this process with 2: the command line is not understood. Nothing was done. */
export function endMisused(message: string, usage: string): never {
  process.stderr.write(`${message}.\n\n${asCalled(usage)}\n`);
  process.exit(2);
}

/**
 * Calls {@link readArguments} for this process. `--help` prints the usage and exits with 0; an error prints it too and
 * exits with 2.
 */
export function readArgumentsOr<const O extends Options>(
  usage: string,
  options: O,
  rules?: { readonly allowPositionals: boolean },
): Arguments<O> {
  const help = { help: { type: 'boolean', short: 'h', default: false } } as const;
  try {
    const found = readArguments(process.argv.slice(2), { ...options, ...help }, rules);
    const { help: isAsked, ...values } = found.values as { readonly help: boolean };
    if (!isAsked) return { ...found, values } as Arguments<O>;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    endMisused(error.message, usage);
  }
  process.stdout.write(`${asCalled(usage)}\n`);
  process.exit(0);
}

/** Calls the command's own reader, which throws {@link UsageError}, for this process. Ends as {@link readArgumentsOr}. */
export function readOwnArgumentsOr<T>(usage: string, read: (args: readonly string[]) => T): T {
  const args = process.argv.slice(2);
  if (args.some((word) => word === '--help' || word === '-h')) {
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  }
  try {
    return read(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return endMisused(error.message, usage);
  }
}

/** Reads the number of an option; if it is none, prints the usage and exits with 2. */
export function wholeOr(usage: string, option: string, text: string, least = 0): number {
  if (/^\d{1,10}$/.test(text) && Number(text) >= least) return Number(text);
  return endMisused(`--${option}: expected a whole number from ${least}`, usage);
}

/**
 * For programs that take everything but flags from the environment. `--help` prints the purpose and exits with 0. An
 * unknown argument exits with 2, before anything is started. Returns the given flags. `flags`: the effect of each flag.
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
