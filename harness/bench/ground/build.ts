import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { build } from 'esbuild';
import { root } from '../../../local/servers/paths.ts';

const run = promisify(execFile);
/** Inside the repository: the built files import its packages. */
const PLACE = '.cache/bench';

export interface Built {
  /** The engine, built by `npm run build`. */
  readonly engine: string;
  /** The floors' programs, and the bundle of their workflows. */
  readonly floors: string;
  readonly floorBundle: string;
}

/** Builds plain JavaScript, so that no contender pays for a compiler. `at`: the files of another engine version. */
export async function buildEngine(at: string = root): Promise<string> {
  const { stderr } = await run('bash', ['deploy/build.sh', `${PLACE}/engine`], { cwd: at }).catch((error: unknown) => {
    const { stdout = '', stderr: told = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`the engine in ${at} was not built:\n${stdout}${told}`);
  });
  if (stderr !== '') process.stderr.write(stderr);
  return join(at, PLACE, 'engine');
}

export async function buildAll(): Promise<Built> {
  const floors = join(root, PLACE, 'floors');
  await mkdir(floors, { recursive: true });
  const here = (file: string) => fileURLToPath(new URL(`../floors/${file}`, import.meta.url));
  await build({
    entryPoints: ['provider.ts', 'endpoint.ts', 'worker.ts'].map(here),
    outdir: floors,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
  const floorBundle = join(floors, 'workflows.js');
  const logger = new DefaultLogger('ERROR');
  const { code } = await bundleWorkflowCode({ workflowsPath: here('workflows.ts'), logger });
  await writeFile(floorBundle, code);
  return { engine: await buildEngine(), floors, floorBundle };
}
