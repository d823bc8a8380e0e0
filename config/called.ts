/** The commands that the compose file's service `tools` knows (commands/tools.ts), as npm has them. */
export const TOOLS = ['keys', 'reviews', 'seal-key', 'restored'] as const;

const FOR_NPM = new RegExp(`npm run (?:--silent )?(${TOOLS.join('|')})\\b(?: --(?= ))?`, 'g');

/** A text that says how a command is called by npm, as whoever reads it has called this process: perhaps by `tools`. */
export const asCalled = (text: string, program = process.argv[1] ?? ''): string =>
  /[\\/]tools\.[jt]s$/.test(program) ? text.replaceAll(FOR_NPM, 'docker compose run --rm tools $1') : text;

/** What `parse` reads of the command line; where there is something it does not know, the usage, and the process ends with 2. */
export function orUsage<T>(usage: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
    process.stderr.write(`${(error as Error).message.split('.')[0]}.\n\n${asCalled(usage)}\n`);
    process.exit(2);
  }
}
