import { createHash, createHmac, type KeyObject } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuilderState } from '../report/builder.ts';
import type { AuditPart } from '../audit-arguments.ts';

/**
 * The finished parts of an audit, on disk, so that a killed audit resumes. The name contains everything that decides
 * the result: another archive, scope or code is another audit. Each record is authenticated with the audit's key, so
 * that nobody else who can write into the folder can mark a part as finished.
 */
export interface AuditProgress {
  readonly startedAt: string;
  finished(part: AuditPart): Promise<BuilderState | null>;
  keep(part: AuditPart, state: BuilderState): Promise<void>;
  /** Deletes the records, after the report is written. */
  forget(): Promise<void>;
}

/** `key`: the private key that signs the report; null: records are not authenticated. */
export async function openProgress(
  out: string,
  decides: unknown,
  fresh: boolean,
  key: KeyObject | null,
): Promise<AuditProgress> {
  const name = createHash('sha256').update(JSON.stringify(decides)).digest('hex').slice(0, 16);
  const folder = join(out, '.progress', name);
  if (fresh) await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const secret = key === null ? '' : key.export({ format: 'der', type: 'pkcs8' });
  const macOf = (what: string, text: string) =>
    createHmac('sha256', secret).update(`audit progress|${name}|${what}|${text}`).digest('hex');
  const noted = async (file: string, what: string): Promise<string | null> => {
    const [, mac, text] = /^([0-9a-f]{64})\n(.*)$/s.exec((await readOrNull(join(folder, file))) ?? '') ?? [];
    return text !== undefined && mac === macOf(what, text) ? text : null;
  };
  const note = async (file: string, what: string, text: string) => {
    await writeFile(join(folder, `${file}.new`), `${macOf(what, text)}\n${text}`);
    await rename(join(folder, `${file}.new`), join(folder, file));
  };
  const known = await noted('started', 'started');
  const startedAt = known ?? new Date().toISOString();
  if (known === null) await note('started', 'started', startedAt);
  const fileOf = (part: AuditPart) => `${part[0]}-${part.at(-1)}.json`;
  const whatOf = (part: AuditPart) => `${startedAt}|${part.join(',')}`;
  return {
    startedAt,
    async finished(part) {
      const text = await noted(fileOf(part), whatOf(part));
      return text === null ? null : (JSON.parse(text) as BuilderState);
    },
    keep: (part, state) => note(fileOf(part), whatOf(part), JSON.stringify(state)),
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
