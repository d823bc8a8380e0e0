import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { Misused } from './scope.ts';

/**
 * Bundles whose histories replay on the code that decided them, because today's code is known to decide otherwise. Each
 * is written down with its reason, in the repository, and named in the report.
 */
const file = z.strictObject({
  exceptions: z
    .array(z.strictObject({ bundle: z.string().regex(/^[0-9a-f]{64}$/), reason: z.string().min(10).max(1_000) }))
    // Of two reasons for one bundle the report would name one.
    .refine((all) => new Set(all.map(({ bundle }) => bundle)).size === all.length),
});
export type Exceptions = ReadonlyMap<string, string>;

/** By the sha256 of the bundle. Throws {@link Misused} when the file cannot be read as one. */
export async function readExceptions(path: string): Promise<Exceptions> {
  try {
    const { exceptions } = file.parse(JSON.parse(await readFile(path, 'utf8')));
    return new Map(exceptions.map(({ bundle, reason }) => [bundle, reason]));
  } catch (cause) {
    throw new Misused(`${path} is not a list of replay exceptions`, { cause });
  }
}
