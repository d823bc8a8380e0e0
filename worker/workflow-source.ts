import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { WorkerConfig } from '../config/settings/worker.ts';
import { bundleWorkflows } from './bundle.ts';

/**
 * The code of the workflows: a prebuilt bundle if there is one, the sources otherwise. One bundle serves with and
 * without the payload codec; nothing in a workflow can read the environment, so a first statement tells the failure
 * converter in it (config/failure-converter.cjs). What it says changes texts only, never a command.
 */
export async function workflowSource(
  config: Pick<WorkerConfig, 'workflowBundle'>,
  encodesFailures: boolean,
): Promise<{ readonly workflowBundle: { readonly code: string }; readonly buildId: string }> {
  const prebuilt = config.workflowBundle ?? fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  const code = existsSync(prebuilt) ? await readFile(prebuilt, 'utf8') : await bundleWorkflows();
  // On the first line, so that the lines of stack traces stay those of the bundle.
  const failures = encodesFailures ? 'encoded' : 'plain';
  const source = `globalThis.depositEngineFailures = '${failures}';${code}`;
  return { workflowBundle: { code: source }, buildId: buildIdOf(source) };
}

/**
 * As the SDK would write it into every history, but over the code as we hold it: the SDK first puts the working
 * directory into the source map, and the same code would have another hash on another machine.
 */
function buildIdOf(code: string): string {
  const { version } = createRequire(import.meta.url)('@temporalio/worker/package.json') as { version: string };
  return `@temporalio/worker@${version}+${createHash('sha256').update(code).digest('hex')}`;
}
