import { createDepositClient, type DepositClient } from '../client/src/client.ts';
import { asCalled, UsageError } from '../config/command-line.ts';

/** Commands that call the API with a key from the environment. */

/** Values of options, as `parseArgs` has them. */
export type Given<O extends Readonly<Record<string, { readonly type: 'string' | 'boolean' }>>> = {
  readonly [name in keyof O]?: (O[name]['type'] extends 'string' ? string : boolean) | undefined;
};
export interface Terminal {
  out(line: string): void;
  error(line: string): void;
}

/** Returns the exit code: 0 done, 1 failed, as when the API refuses, 2 not understood. */
export async function reported(work: () => Promise<void>, terminal: Terminal, usage: string): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.error(`${error.message}\n\n${asCalled(usage)}`);
      return 2;
    }
    terminal.error(error instanceof Error ? error.message : 'failed');
    return 1;
  }
}

export function needed(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is missing`);
  return value;
}

/** A person waits: nothing is repeated. */
export function clientIn(env: Readonly<Record<string, string | undefined>>): DepositClient {
  const [baseUrl, apiKey] = [needed(env['API_URL'], 'API_URL'), needed(env['API_KEY'], 'API_KEY')];
  try {
    return createDepositClient({ baseUrl, apiKey, retries: 0 });
  } catch (error) {
    throw new UsageError(`API_URL or API_KEY cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
