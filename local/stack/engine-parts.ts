/** The engine's processes and the sandbox as parts: how each is started, and when it is ready. */

import type { Places } from './environment.ts';
import { answersOk, nodePart } from './node-part.ts';
import type { StackPart } from './supervisor.ts';

type Environment = Readonly<Record<string, string>>;

/** The worker lets a running placement finish, 45 s at most. */
export const WORKER_STOP_MS = 50_000;
/** The API and the sandbox only finish requests; a message of the notifier takes 15 s at most. */
export const SERVER_STOP_MS = 20_000;

/** Ready by `word` in its own log, because at its address another program might respond; then by a GET of `url`. */
const enginePart = (
  name: 'api' | 'worker' | 'notifier' | 'sandbox',
  dataDirectory: string,
  env: Environment,
  {
    word,
    url,
    room = name,
    stopTimeoutMs = SERVER_STOP_MS,
  }: { readonly word: string; readonly url?: string; readonly room?: string; readonly stopTimeoutMs?: number },
): StackPart =>
  nodePart({
    name,
    entry: `${room}/main.ts`,
    env,
    dataDirectory,
    isReady: (output) => output().includes(`"msg":"${word}"`) && (url === undefined || answersOk(url)),
    stopTimeoutMs,
  });

export const sandboxPart = (dataDirectory: string, sandboxUrl: string, env: Environment): StackPart =>
  enginePart('sandbox', dataDirectory, env, { word: 'sandbox listening', url: `${sandboxUrl}/healthz` });

/** The worker has no port to check. */
export const workerPart = (dataDirectory: string, env: Environment): StackPart =>
  enginePart('worker', dataDirectory, env, { word: 'worker ready', stopTimeoutMs: WORKER_STOP_MS });

/** The notifier has no port either. */
export const notifierPart = (dataDirectory: string, env: Environment): StackPart =>
  enginePart('notifier', dataDirectory, env, { word: 'notifier ready', room: 'notifications' });

/** A sample beside the engine: nothing waits for it long. */
export const shopPart = (dataDirectory: string, shopUrl: string, env: Environment): StackPart =>
  nodePart({
    name: 'shop',
    entry: 'examples/shop/shop.ts',
    env,
    dataDirectory,
    isReady: (output) => output().includes('The shop is open') && answersOk(shopUrl),
    stopTimeoutMs: SERVER_STOP_MS,
    readyTimeoutMs: 15_000,
  });

export const apiPart = (dataDirectory: string, places: Places, env: Environment): StackPart =>
  enginePart('api', dataDirectory, env, { word: 'api ready', url: `${places.apiUrl}/readyz` });
