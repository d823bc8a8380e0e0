import { readFileSync, statSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that may be given as `NAME`, or as `NAME_FILE`: the path of a file that holds the value. */
export type SecretNames = readonly string[];

export interface EnvironmentValues {
  /** The environment with the contents of the named files in it. */
  readonly values: Environment;
  /** One line for each wrong variable, never with a value. */
  readonly problems: readonly string[];
}

const MAX_FILE_BYTES = 4_096;

/** Treats an empty variable as not set, because compose files and shells cannot leave one out easily. */
const withoutEmpty = (env: Environment): Environment =>
  Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));

/**
 * Replaces variables that name files with the contents of the files. A missing or empty file means that the variable is
 * not set, so a key can be announced and removed while the process runs.
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

/** Reads a file without the one line end that editors and `echo` add. A missing file reads as an empty text. */
function read(path: string): { readonly text: string } | { readonly problem: string } {
  try {
    const file = statSync(path);
    // A pipe would block the whole process.
    if (!file.isFile()) return { problem: 'names no file' };
    if (file.size > MAX_FILE_BYTES) return { problem: `names a file of more than ${MAX_FILE_BYTES} bytes` };
    return { text: readFileSync(path, 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? { text: '' } : { problem: `cannot be read (${code ?? 'unknown'})` };
  }
}
