import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { root } from '../../local/servers/paths.ts';

/** The programs that tests start as processes, by their path in the repository. */
const PROGRAMS = [
  'api/main.ts',
  'api/callbacks-main.ts',
  'api/codec/codec-main.ts',
  'worker/main.ts',
  'worker/migrate.ts',
  'notifications/main.ts',
  'sandbox/main.ts',
  'commands/keys.ts',
  'commands/restored.ts',
  'commands/seal-key.ts',
  'commands/settings.ts',
  'commands/sign.ts',
  'examples/shop/shop.ts',
  'local/audit.ts',
] as const;
export type Program = (typeof PROGRAMS)[number];

/** The folder into which global-setup.ts built them; undefined in commands that run without Vitest. */
const BUILT = 'TEST_PROGRAMS';

/**
 * Builds them into `folder`, which lies in the repository: they import its packages. Through tsx each start of a
 * process takes 0.6 s of a core more. A module finds its files next to its source.
 */
export async function buildPrograms(folder: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: [...PROGRAMS],
    outdir: folder,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    plugins: [
      {
        name: 'sources stay where they are',
        setup: (building) =>
          building.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            const source = await readFile(path, 'utf8');
            const url = JSON.stringify(pathToFileURL(path).href);
            return { contents: source.replaceAll('import.meta.url', url), loader: 'ts' };
          }),
      },
    ],
  });
  process.env[BUILT] = folder;
}

/** The arguments with which Node starts the program. */
export function startOf(program: Program): string[] {
  const folder = process.env[BUILT];
  if (folder !== undefined) return [join(folder, program.replace(/\.ts$/, '.mjs'))];
  return ['--import', join(root, 'node_modules/tsx/dist/esm/index.mjs'), join(root, program)];
}
