import { z } from 'zod';
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

export type Ask = (method: string, path: string, body?: unknown) => Promise<unknown>;

const TIMEOUT_MS = 15_000;
const problem = z.object({ code: z.string(), detail: z.string() });

/** Returns a function that calls the API; it throws with the API's own words when the API refuses. */
export function callerIn(env: Readonly<Record<string, string | undefined>>): Ask {
  const base = needed(env['API_URL'], 'API_URL');
  const key = needed(env['API_KEY'], 'API_KEY');
  if (!URL.canParse(base)) throw new UsageError('API_URL is no address such as http://127.0.0.1:8080');
  // The error of `fetch` about an invalid header would show the key.
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new UsageError('API_KEY is no key: it has a blank or another character that no key has');
  return async (method, path, body) => {
    const response = await fetch(new URL(path, base), {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((cause: Error) => {
      const more = cause.cause as { code?: string; message?: string } | undefined;
      throw new Error(
        `no API answers at ${new URL(base).host} (API_URL): ${more?.code ?? more?.message ?? cause.message}`,
        { cause },
      );
    });
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok) return answer;
    const told = problem.safeParse(answer);
    throw new Error(told.success ? `${told.data.code}: ${told.data.detail}` : `the API answered ${response.status}`);
  };
}
