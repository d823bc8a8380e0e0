import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';

/** The log of every process: JSON lines on standard output, with ids and codes only; never bodies, names or keys. */
export type Log = pino.Logger;

const requests = new AsyncLocalStorage<string>();

/** Runs `work` for a request: every line that it logs, also later, has the request's id as `requestId`. */
export const inRequest = <T>(requestId: string, work: () => T): T => requests.run(requestId, work);
/** Runs `work`, such as a timer's start, for no request. */
export const inNoRequest = <T>(work: () => T): T => requests.exit(work);

/** `to`: default standard output. */
export const createLog = (part: string, level: string, to?: pino.DestinationStream): Log =>
  pino({ level, base: { part }, mixin: idOfRequest }, to);

function idOfRequest(): { readonly requestId?: string } {
  const requestId = requests.getStore();
  return requestId === undefined ? {} : { requestId };
}
