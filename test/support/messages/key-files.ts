import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface KeyFiles {
  /** `NAME_FILE` for every name; the names themselves are not set. */
  readonly env: Readonly<Record<string, string>>;
  /** Writes a new version of the whole directory and swaps it in atomically; null removes a file. */
  put(change: Readonly<Record<string, string | null>>): void;
}

/** A directory of keys as an orchestrator mounts one: the files are reached through a link that is swapped. */
export function keyFiles(
  folder: string,
  names: readonly string[],
  first: Readonly<Record<string, string | null>>,
): KeyFiles {
  const current = join(folder, 'current');
  let contents: Record<string, string | null> = {};
  let version = 0;
  const put = (change: Readonly<Record<string, string | null>>) => {
    contents = { ...contents, ...change };
    version += 1;
    const directory = join(folder, `version-${version}`);
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(contents))
      if (text !== null) writeFileSync(join(directory, name), `${text}\n`);
    symlinkSync(directory, `${current}.new`);
    renameSync(`${current}.new`, current);
  };
  put(first);
  const pairs = names.flatMap((name): [string, string][] => [
    [name, ''],
    [`${name}_FILE`, join(current, name)],
  ]);
  return { env: Object.fromEntries(pairs), put };
}
