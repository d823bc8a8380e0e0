import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takesNoArguments } from '../config/command-line.ts';
import { CATALOGUE, catalogueLines, FUNCTIONS, functionTexts, manifestOf } from '../database/schema/catalogue.ts';
import { isContract, migrate, MIGRATIONS, readMigrations } from '../database/schema/migrate.ts';
import type pg from 'pg';
import { createClient } from '../database/pool.ts';
import { startPostgres } from './servers/postgres.ts';
import '../config/broken-pipe.ts';

/**
 * `npm run catalogue`: rewrites database/catalogue.txt and database/functions.sql from the migrations, in a PostgreSQL of
 * its own.
 */

/** Reads the catalogue with every file applied, and at each stage before a contract file. Needs an empty database. */
export async function readManifest(client: pg.Client, scratch: string): Promise<string> {
  const files = await readMigrations(MIGRATIONS);
  const stages = new Map<string, readonly string[]>();
  // The first file makes it a database in use, for which contract files are not applied.
  const folder = join(scratch, 'migrations');
  await mkdir(folder);
  await copyFile(join(MIGRATIONS, files[0]!.name), join(folder, files[0]!.name));
  await migrate(client, folder);
  let through = '';
  for (const { name } of files.filter((file) => isContract(file.name))) {
    await migrate(client, MIGRATIONS, { contract: { through } });
    stages.set(name, await read(client, catalogueLines));
    through = name;
  }
  await migrate(client);
  return manifestOf(await read(client, catalogueLines), stages);
}

/** Reads the text of every function of a migrated database. */
export const readFunctions = (client: pg.Client): Promise<string> => read(client, functionTexts);

async function read<T>(client: pg.Client, from: (db: pg.ClientBase) => Promise<T>): Promise<T> {
  await client.query('begin read only; set local search_path = pg_catalog, pg_temp');
  const found = await from(client);
  await client.query('commit');
  return found;
}

async function main(): Promise<void> {
  takesNoArguments('npm run catalogue', 'writes database/catalogue.txt and database/functions.sql anew.');
  const scratch = await mkdtemp(join(tmpdir(), 'deposit-catalogue-'));
  const server = await startPostgres({ directory: join(scratch, 'postgres'), fsync: false, removeOnStop: true });
  const client = createClient({ connectionString: server.url });
  try {
    await client.connect();
    const text = await readManifest(client, scratch);
    await writeFile(CATALOGUE, text);
    await writeFile(FUNCTIONS, await readFunctions(client));
    console.log(`${CATALOGUE}: ${text.split('\n').length - 2} lines, by PostgreSQL ${server.source ?? ''}`);
  } finally {
    await client.end();
    await server.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

if (import.meta.filename === process.argv[1]) await main();
