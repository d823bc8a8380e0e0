import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { FAILURE_CONVERTER } from '../config/temporal.ts';

/** Bundles the workflows for a worker that starts without a compiler. Run as `bundle.ts OUT`. */
/** `entry` is another index.ts only where a test bundles a changed copy. */
export async function bundleWorkflows(
  entry: string = fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: entry,
    failureConverterPath: FAILURE_CONVERTER,
    logger: new DefaultLogger('WARN'),
  });
  return code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = process.argv[2];
  if (out === undefined) throw new Error('usage: bundle.ts OUT');
  await writeFile(out, await bundleWorkflows());
}
