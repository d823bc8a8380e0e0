/** The engine's processes and the sandbox as parts: how each is started, and when it is ready. */

import type { Places } from './environment.ts';
import { answersOk, nodePart } from './node-part.ts';
import type { StackPart } from './supervisor.ts';

type Environment = Readonly<Record<string, string>>;

/** The worker lets a running placement finish, 45 s at most. */
export const WORKER_STOP_MS = 50_000;
/** The API and the sandbox only finish requests. */
export const SERVER_STOP_MS = 20_000;

/** Looks in the process's own log: at its address, another program might respond. */
const said = (output: () => string, word: string): boolean => output().includes(`"msg":"${word}"`);

export function sandboxPart(dataDirectory: string, sandboxUrl: string, env: Environment): StackPart {
  return nodePart({
    name: 'sandbox',
    entry: 'sandbox/main.ts',
    env,
    dataDirectory,
    isReady: (output) => said(output, 'sandbox listening') && answersOk(`${sandboxUrl}/healthz`),
    stopTimeoutMs: SERVER_STOP_MS,
  });
}

/** The worker has no port to check, so its log line shows that it is ready. */
export function workerPart(dataDirectory: string, env: Environment): StackPart {
  return nodePart({
    name: 'worker',
    entry: 'worker/main.ts',
    env,
    dataDirectory,
    isReady: (output) => said(output, 'worker ready'),
    stopTimeoutMs: WORKER_STOP_MS,
  });
}

export function apiPart(dataDirectory: string, places: Places, env: Environment): StackPart {
  return nodePart({
    name: 'api',
    entry: 'api/main.ts',
    env,
    dataDirectory,
    isReady: (output) => said(output, 'api ready') && answersOk(`${places.apiUrl}/readyz`),
    stopTimeoutMs: SERVER_STOP_MS,
  });
}
