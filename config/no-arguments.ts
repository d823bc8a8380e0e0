/**
 * For programs that take all they need from the environment: asked for `--help` they say what they do and end with 0;
 * anything else they are given ends them with 2, before anything is started.
 */
export function takesNoArguments(program: string, what: string): void {
  const given = process.argv.slice(2);
  if (given.length === 0) return;
  const text = `${program}: ${what}\nIt takes no arguments; its settings are environment variables: see docs/settings.md.`;
  if (given.every((argument) => argument === '--help' || argument === '-h')) {
    process.stdout.write(`${text}\n`);
    process.exit(0);
  }
  process.stderr.write(`Unknown argument ${JSON.stringify(given[0])}.\n\n${text}\n`);
  process.exit(2);
}
