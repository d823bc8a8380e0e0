import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { takesNoArguments } from '../config/command-line.ts';
import { openApiDocument } from '../contract/openapi.ts';
import { OPERATIONS } from '../contract/operations.ts';
import { cacheDirectory, root } from './servers/paths.ts';
import '../config/broken-pipe.ts';

/** `npm run client:schema`: rewrites client/src/schema.d.ts from the OpenAPI document. */

export const CLIENT_SCHEMA = join(root, 'client/src/schema.d.ts');
const run = promisify(execFile);
const HEAD = '// Written by `npm run client:schema` from the OpenAPI document. Do not edit.\n\n';

/**
 * Installs the tools of the client where they are not, and returns their folder. They have a TypeScript of their own,
 * because the engine's has no API. Needs the registry once for each lockfile.
 */
export async function installClientTools(): Promise<string> {
  const tools = join(cacheDirectory, 'client-tools');
  const wanted = await readFile(join(root, 'client/tools/package-lock.json'), 'utf8');
  const marker = join(tools, 'installed.json');
  if ((await readFile(marker, 'utf8').catch(() => null)) === wanted) return tools;
  await mkdir(tools, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', '.npmrc'])
    await copyFile(join(root, 'client/tools', name), join(tools, name));
  await run('npm', ['ci', '--prefer-offline'], { cwd: tools });
  await writeFile(marker, wanted);
  return tools;
}

/** Returns the text of client/src/schema.d.ts for the present document. */
export async function generateClientSchema(): Promise<string> {
  const tools = await installClientTools();
  const scratch = await mkdtemp(join(tmpdir(), 'deposit-client-schema-'));
  try {
    const [document, schema] = [join(scratch, 'openapi.json'), join(scratch, 'schema.d.ts')];
    await writeFile(document, JSON.stringify(openApiDocument(OPERATIONS)));
    const generator = join(tools, 'node_modules/openapi-typescript/bin/cli.js');
    // A field that has a default may be left out of a request.
    const words = [generator, document, '--output', schema, '--default-non-nullable=false'];
    await run(process.execPath, words, { cwd: scratch });
    return HEAD + (await readFile(schema, 'utf8'));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  takesNoArguments('npm run client:schema', 'writes client/src/schema.d.ts anew from the OpenAPI document.');
  await writeFile(CLIENT_SCHEMA, await generateClientSchema());
  console.log(CLIENT_SCHEMA);
}

if (import.meta.filename === process.argv[1]) await main();
