import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuilderState } from '../report/builder.ts';
import type { Part } from '../scope.ts';

/**
 * What is finished of an audit, on disk, so that one that was cut off goes on where it stopped. Everything that decides
 * the result is in its name: another archive, scope or code is another audit.
 */
export interface Progress {
  readonly startedAt: string;
  finished(part: Part): Promise<BuilderState | null>;
  keep(part: Part, state: BuilderState): Promise<void>;
  /** The report is written: nothing of this is needed any more. */
  forget(): Promise<void>;
}

export async function openProgress(out: string, decides: unknown, fresh: boolean): Promise<Progress> {
  const name = createHash('sha256').update(JSON.stringify(decides)).digest('hex').slice(0, 16);
  const folder = join(out, '.progress', name);
  if (fresh) await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const startedFile = join(folder, 'started');
  const startedAt = (await readOrNull(startedFile)) ?? new Date().toISOString();
  await writeFile(startedFile, startedAt);
  const fileOf = (part: Part) => join(folder, `${part[0]}-${part.at(-1)}.json`);
  return {
    startedAt,
    async finished(part) {
      const text = await readOrNull(fileOf(part));
      return text === null ? null : (JSON.parse(text) as BuilderState);
    },
    async keep(part, state) {
      const file = fileOf(part);
      await writeFile(`${file}.new`, JSON.stringify(state));
      await rename(`${file}.new`, file);
    },
    forget: () => rm(folder, { recursive: true, force: true }),
  };
}

async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
