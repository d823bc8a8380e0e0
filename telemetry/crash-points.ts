/**
 * Places at which a test may kill the process, to show that nothing is lost there. With `CRASH_AT=credit.afterCommit:1`
 * the process sends itself SIGKILL the first time it reaches that point. Never armed when NODE_ENV is production.
 */
export type CrashPoint =
  | 'api.afterReserve'
  | 'api.afterWorkflowStart'
  | 'api.beforeReply'
  | 'create.beforeSend'
  | 'create.afterResponse'
  | 'create.beforeComplete'
  | 'cb.afterVerify'
  | 'cb.afterInboxInsert'
  | 'cb.afterCommit'
  | 'cb.afterSignal'
  | 'relay.afterSignal'
  | 'credit.beforeTx'
  | 'credit.afterCommit'
  | 'close.afterCommit'
  | 'decide.beforeTx'
  | 'decide.betweenTx'
  | 'decide.afterCommit'
  | 'notify.afterClaim'
  | 'notify.afterAnswer';

let armed: { readonly point: string; countdown: number } | null = null;

/** Reads CRASH_AT once, at the start of a process. */
export function armCrashPoint(env: Readonly<Record<string, string | undefined>> = process.env): void {
  const [point, nth] = (env['CRASH_AT'] ?? '').split(':');
  if (env['NODE_ENV'] === 'production' || point === undefined || point === '') return;
  armed = { point, countdown: Number(nth ?? 1) };
}

export function crashPoint(point: CrashPoint): void {
  if (armed === null || armed.point !== point) return;
  armed.countdown -= 1;
  if (armed.countdown === 0) process.kill(process.pid, 'SIGKILL');
}
