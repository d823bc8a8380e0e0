import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseEnv, promisify } from 'node:util';
import { createDepositClient } from '../../../client/src/client.ts';
import { root } from '../../../local/servers/paths.ts';
import { payAtSandbox } from '../../../local/stack/sandbox-api.ts';
import type { Bench } from '../bench.ts';
import { alone } from '../figures/statistics.ts';
import { orderOfBench } from '../load/callbacks.ts';
import type { Part } from '../part.ts';

const run = promisify(execFile);
const WITHIN_MS = 240_000;
const LOOK_MS = 50;
const STOP_WITHIN_MS = 60_000;

/** P11: `git clone`, `npm ci`, `npm start`, a deposit ordered and paid; then `npm start` again in the same clone. */
export const clonePart: Part = {
  ids: ['P11'],
  seconds: { full: 120, quick: null },
  async measure(bench) {
    const clone = join(bench.folder, 'clone');
    const seconds = (sinceMs: number) => (performance.now() - sinceMs) / 1_000;
    bench.tell('a fresh clone');
    const freshMs = performance.now();
    await run('git', ['clone', '--quiet', root, clone]);
    await run('npm', ['ci', '--silent'], { cwd: clone, maxBuffer: 2 ** 24 });
    const fresh = await firstCredit(bench, clone, () => seconds(freshMs));
    const warm: number[] = [];
    for (let round = 0; round <= bench.scale.rounds; round += 1) {
      bench.tell(`npm start again: ${round === 0 ? 'warm-up' : `round ${round} of ${bench.scale.rounds}`}`);
      const sinceMs = performance.now();
      const took = await firstCredit(bench, clone, () => seconds(sinceMs));
      if (round > 0) warm.push(took);
    }
    await rm(clone, { recursive: true, force: true });
    const notes = ['What npm and pip have in their caches is not downloaded again.'];
    return { P11: { figures: { fresh: alone([fresh], 's'), warm: alone(warm, 's') }, notes } };
  },
};

/** Starts the clone's stack, takes one deposit to its credit, and stops it. Resolves to `took()` at the credit. */
async function firstCredit(bench: Bench, clone: string, took: () => number): Promise<number> {
  const stack = spawn(process.execPath, ['local/start.cjs', 'local/main.ts'], {
    cwd: clone,
    // No variables of a stack that this terminal uses.
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    stdio: 'ignore',
    detached: true,
  });
  bench.undo.add(() => stop(stack));
  try {
    const env = await untilFound(async () => {
      const found = parseEnv(await readFile(join(clone, '.data/local.env'), 'utf8'));
      // The file of the previous start names processes that are gone.
      if (found['API_PID'] === undefined || found['API_KEY'] === undefined) return null;
      process.kill(Number(found['API_PID']), 0);
      return found;
    }, stack);
    const api = createDepositClient({ baseUrl: env['API_URL']!, apiKey: env['API_KEY']!, retries: 0 });
    const n = `first-${randomBytes(4).toString('hex')}`;
    const sandboxUrl = env['SANDBOX_CONSOLE_URL']!.replace(/\/console$/, '');
    await untilFound(async () => api.deposits.create(orderOfBench(n)), stack);
    await payAtSandbox(sandboxUrl, env['SANDBOX_CONTROL_TOKEN']!, n);
    await untilFound(async () => ((await api.deposits.read(n)).state === 'CREDITED' ? true : null), stack);
    return took();
  } finally {
    await stop(stack);
  }
}

async function untilFound<T>(look: () => Promise<T | null>, stack: ChildProcess): Promise<T> {
  for (const endMs = performance.now() + WITHIN_MS; ; await sleep(LOOK_MS)) {
    if (stack.exitCode !== null) throw new Error(`npm start ended with ${stack.exitCode}`);
    const found = await look().catch(() => null);
    if (found !== null) return found;
    if (performance.now() > endMs) throw new Error(`npm start: nothing within ${WITHIN_MS / 1_000} s`);
  }
}

async function stop(stack: ChildProcess): Promise<void> {
  if (stack.exitCode !== null || stack.signalCode !== null) return;
  const force = setTimeout(() => process.kill(-stack.pid!, 'SIGKILL'), STOP_WITHIN_MS);
  stack.kill('SIGINT');
  await once(stack, 'exit');
  clearTimeout(force);
}
