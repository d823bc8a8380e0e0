import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { WorkerConfig } from '../config/settings/worker.ts';
import { bundleWorkflows } from './bundle.ts';

/**
 * Returns the workflows' code: a prebuilt bundle if there is one, otherwise a bundle of the sources. One bundle serves
 * with and without the payload codec. A workflow cannot read the environment, so a first statement sets the mode of the
 * failure converter (config/failure-converter.cjs). The mode changes texts only, never a command.
 */
export async function workflowSource(
  config: Pick<WorkerConfig, 'workflowBundle'>,
  encodesFailures: boolean,
): Promise<{ readonly workflowBundle: { readonly code: string }; readonly buildId: string }> {
  const prebuilt = config.workflowBundle ?? fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  const code = existsSync(prebuilt) ? await readFile(prebuilt, 'utf8') : await bundleWorkflows();
  // On the first line, so that line numbers in stack traces stay those of the bundle.
  const failures = encodesFailures ? 'encoded' : 'plain';
  const source = `globalThis.depositEngineFailures = '${failures}';${code}`;
  return { workflowBundle: { code: source }, buildId: buildIdOf(source) };
}

/**
 * Returns the build id in the SDK's format, but over our own code. The SDK first puts the working directory into the
 * source map, so the same code would have another hash on another machine.
 */
function buildIdOf(code: string): string {
  const { version } = createRequire(import.meta.url)('@temporalio/worker/package.json') as { version: string };
  return `@temporalio/worker@${version}+${createHash('sha256').update(code).digest('hex')}`;
}
