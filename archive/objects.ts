import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { sha256 } from './canonical-history.ts';
import type { Db } from '../database/pool.ts';
import { execute, statement } from '../database/statements.ts';
export type ObjectKind = 'history' | 'bundle';

/** The object stored under this hash has another text. A retry does not help. */
export class ArchiveDamaged extends Error {}
/** No object is stored under this hash. */
export class ArchiveMissing extends Error {}

/** Texts by their sha256. */
export interface ArchiveObjects {
  /** Stores the text; resolves when it is on disk. Idempotent. */
  put(hash: Buffer, kind: ObjectKind, text: string): Promise<void>;
  /** Returns the text, which has that hash. Throws {@link ArchiveMissing} and {@link ArchiveDamaged}. */
  get(hash: Buffer): Promise<string>;
}

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/**
 * Objects in the directory, if one is given, otherwise in PostgreSQL. Objects from before the directory are still found
 * in PostgreSQL.
 */
export function archiveObjects(db: Db, directory: string | undefined): ArchiveObjects {
  const postgres = postgresObjects(db);
  if (directory === undefined) return postgres;
  const files = directoryObjects(directory);
  return {
    put: (...given) => files.put(...given),
    async get(hash) {
      try {
        return await files.get(hash);
      } catch (error) {
        if (!(error instanceof ArchiveMissing)) throw error;
        return postgres.get(hash);
      }
    },
  };
}

const HAS_OBJECT = statement('select from engine.archive_object where hash = $1');

export function postgresObjects(db: Db): ArchiveObjects {
  return {
    async put(hash, kind, text) {
      const found = await execute(db, HAS_OBJECT, [hash]);
      if (found.rowCount === 1) return;
      await db.query('select engine.archive_put($1, $2, $3)', [hash, kind, await compress(text)]);
    },
    async get(hash) {
      const { rows } = await db.query<{ bytes: Buffer }>('select bytes from engine.archive_object where hash = $1', [
        hash,
      ]);
      return textOf(hash, rows[0]?.bytes);
    },
  };
}

/** `ab/abcdef….gz`, each file the gzip of its text. Any number of processes may share the directory. */
export function directoryObjects(directory: string): ArchiveObjects {
  const pathOf = (hash: Buffer) => join(directory, hash.toString('hex').slice(0, 2), `${hash.toString('hex')}.gz`);
  const get = async (hash: Buffer) => textOf(hash, await bytesIn(pathOf(hash)));
  return {
    get,
    async put(hash, _kind, text) {
      // A damaged file is rewritten.
      if ((await get(hash).catch(() => null)) !== null) return;
      await writeWhole(pathOf(hash), await compress(text));
    },
  };
}

async function textOf(hash: Buffer, bytes: Buffer | undefined): Promise<string> {
  const name = hash.toString('hex');
  if (bytes === undefined) throw new ArchiveMissing(`the archive has no object ${name}`);
  let text: string;
  try {
    text = (await decompress(bytes)).toString('utf8');
  } catch (cause) {
    throw new ArchiveDamaged(`the archive's object ${name} cannot be unpacked`, { cause });
  }
  if (!sha256(text).equals(hash)) throw new ArchiveDamaged(`the archive's object ${name} is another text`);
  return text;
}

async function bytesIn(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes a file atomically: under its name it is complete, even if the process or the machine dies. */
async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(fresh, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
