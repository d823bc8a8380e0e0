import { pino } from 'pino';

/** The log of every process: JSON lines on standard output, with ids and codes only; never bodies, names or keys. */
export type Log = pino.Logger;

export const createLog = (part: string, level: string): Log => pino({ level, base: { part } });
