import { pino } from 'pino';
import { createLog, type Log } from '../../telemetry/log.ts';

/** The last warnings of the engines that run in this process, since they were taken. */
const MOST = 30;
const LONGEST = 500;
const kept: string[] = [];

/** A line of a log in which a test reads; pino's 40 is a warning. */
export const noteWarning = (line: string): void => {
  if ((JSON.parse(line) as { level: number }).level >= 40 && kept.push(line.slice(0, LONGEST)) > MOST) kept.shift();
};

/** The log of a test's engine: it is printed where a test fails (one-after-the-other.ts); TEST_LOG_LEVEL prints all of it. */
export function quietLog(part: string): Log {
  const level = process.env['TEST_LOG_LEVEL'];
  return level === undefined ? pino({ level: 'warn', base: { part } }, { write: noteWarning }) : createLog(part, level);
}

export const takeWarnings = (): string[] => kept.splice(0);
