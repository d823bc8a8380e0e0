import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BuilderState } from '../report/builder.ts';
import type { ChildTask, FromChild, ToChild } from './child.ts';
import type { AuditPart } from '../audit-arguments.ts';

/** A part takes seconds. A process without a message for this long is in an endless replay. */
const SILENT_MS = 600_000;

/**
 * Audits the parts with several processes, each taking the next part when it is idle. Calls `done` for each part.
 * Throws the first failure, and always ends every process.
 */
export async function auditInParts(
  processes: number,
  task: ChildTask,
  parts: readonly AuditPart[],
  done: (part: AuditPart, state: BuilderState) => Promise<void>,
): Promise<void> {
  const waiting = [...parts];
  const children = Array.from({ length: Math.min(processes, parts.length) }, start);
  try {
    await Promise.all(children.map((child) => work(child, task, waiting, done)));
  } catch (error) {
    for (const child of children) child.kill('SIGKILL');
    throw error;
  }
}

async function work(
  child: ChildProcess,
  task: ChildTask,
  waiting: AuditPart[],
  done: (part: AuditPart, state: BuilderState) => Promise<void>,
): Promise<void> {
  await ask(child, { task });
  for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
    const answer = await ask(child, { part });
    if ('state' in answer) await done(part, answer.state);
  }
  child.disconnect();
}

/** In development the sources run through tsx; a build runs as it is. */
const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url)).replace(
  /\.ts$/,
  import.meta.url.endsWith('.ts') ? '.ts' : '.js',
);

const start = (): ChildProcess =>
  fork(CHILD, {
    // Replaying allocates much short-lived garbage.
    execArgv: ['--max-semi-space-size=16', ...(CHILD.endsWith('.ts') ? ['--import', 'tsx'] : [])],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });

/** Resolves to its answer; rejects when the process fails, ends or falls silent. */
async function ask(child: ChildProcess, message: ToChild): Promise<FromChild> {
  const over = new AbortController();
  const silent = AbortSignal.any([over.signal, AbortSignal.timeout(SILENT_MS)]);
  const ended = once(child, 'exit', { signal: over.signal }).then(([code, signal]) => {
    throw new Error(`a process of the audit ended with ${code ?? signal}`);
  });
  try {
    child.send(message);
    const [answer] = (await Promise.race([once(child, 'message', { signal: silent }), ended])) as [FromChild];
    if ('failed' in answer) throw new Error(`a process of the audit failed: ${answer.failed}`);
    return answer;
  } catch (error) {
    if (!silent.aborted) throw error;
    const on = 'part' in message ? `archive rows ${message.part[0]} to ${message.part.at(-1)}` : 'its start';
    throw new Error(`a process of the audit has said nothing for ten minutes, on ${on}`, { cause: error });
  } finally {
    over.abort();
  }
}
