import { readFileSync, statSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of which each may be given as `NAME`, or as `NAME_FILE`: the path of a file that holds the value. */
export type SecretNames = readonly string[];

export interface EnvironmentValues {
  /** The environment with the contents of the named files in it. */
  readonly values: Environment;
  /** What is wrong, one line a variable; never with a value. */
  readonly problems: readonly string[];
}

const MAX_FILE_BYTES = 4_096;

/** An empty variable is one that is not set: compose files and shells cannot leave one out easily. */
const withoutEmpty = (env: Environment): Environment =>
  Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));

/**
 * Puts the contents of files in the place of the variables that name them. A file that is not there, or is empty, is a
 * variable that is not set: so a key can be announced and taken away while the process runs.
 */
export function withSecretFiles(env: Environment, names: SecretNames): EnvironmentValues {
  const values: Record<string, string | undefined> = { ...withoutEmpty(env) };
  const problems: string[] = [];
  for (const name of names) {
    const path = values[`${name}_FILE`];
    if (path === undefined) continue;
    if (values[name] !== undefined) {
      problems.push(`${name}: is given twice, by itself and by ${name}_FILE`);
      continue;
    }
    const content = read(path);
    if ('problem' in content) problems.push(`${name}_FILE: ${content.problem}`);
    else if (content.text !== '') values[name] = content.text;
  }
  return { values, problems };
}

/** Without the one line end that editors and `echo` put at the end. */
function read(path: string): { readonly text: string } | { readonly problem: string } {
  try {
    const file = statSync(path);
    // A pipe would hold up the whole process.
    if (!file.isFile()) return { problem: 'names no file' };
    if (file.size > MAX_FILE_BYTES) return { problem: `names a file of more than ${MAX_FILE_BYTES} bytes` };
    return { text: readFileSync(path, 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? { text: '' } : { problem: `cannot be read (${code ?? 'unknown'})` };
  }
}
