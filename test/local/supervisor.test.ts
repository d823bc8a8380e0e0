import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { apiPart, sandboxPart } from '../../local/stack/engine-parts.ts';
import { endLeftovers, nodePart, PartStartError, stackThatRuns, writeRecord } from '../../local/stack/node-part.ts';
import { isAlive, start } from '../../local/servers/process.ts';
import { createSupervisor, type StackPart, StoppedError, type SupervisorEvent } from '../../local/stack/supervisor.ts';
import { until } from '../support/until.ts';
import { makeDirectory } from './support.ts';

const quick = { firstMs: 5, longestMs: 20, calmAfterMs: 60_000 };
const READY = `console.log('ready');`;
const STAYS = `${READY} setInterval(() => {}, 1000);`;

/** A part that runs the given program text with Node. */
function scripted(dataDirectory: string, name: string, program: string, readyTimeoutMs = 10_000): StackPart {
  const entry = join(dataDirectory, `${name}.mjs`);
  writeFileSync(entry, program);
  return nodePart({
    name,
    entry,
    env: { PATH: process.env['PATH'] ?? '', DATA: dataDirectory },
    dataDirectory,
    isReady: (output) => output().includes('ready'),
    stopTimeoutMs: 5_000,
    readyTimeoutMs,
  });
}

function supervised() {
  const events: SupervisorEvent[] = [];
  const supervisor = createSupervisor((event) => events.push(event), quick);
  onTestFinished(() => supervisor.kill());
  const restarted = () => events.findLast((event) => event.kind === 'restarted');
  return { supervisor, events, restarted };
}

test('a part that dies is started again and says so, however often', async () => {
  const directory = makeDirectory();
  const { supervisor, events, restarted } = supervised();
  const first = await supervisor.supervise(scripted(directory, 'worker', STAYS));
  process.kill(first.pid, 'SIGKILL');
  await until('the first restart', () => restarted() !== undefined);
  const second = restarted()?.pid ?? 0;
  expect(second).not.toBe(first.pid);
  process.kill(second, 'SIGKILL');
  await until('the second restart', () => restarted()?.pid !== second);
  const third = restarted()?.pid ?? 0;
  await supervisor.stop(['worker']);
  expect(isAlive(third)).toBe(false);
  expect(events.map(({ kind }) => kind)).toEqual(['died', 'restarted', 'died', 'restarted']);
  expect(events[0]).toEqual({
    kind: 'died',
    part: 'worker',
    exit: { code: null, signal: 'SIGKILL' },
    lastWords: null,
  });
});

test('a part is not ready because somebody else answers at its address', async () => {
  const foreign = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  onTestFinished(() => void foreign.close());
  await once(foreign, 'listening');
  const url = `http://127.0.0.1:${(foreign.address() as AddressInfo).port}`;
  const places = {
    apiUrl: url,
    apiListen: '',
    callbackListen: '',
    callbackBaseUrl: '',
    mtpayBaseUrl: '',
    sandboxUrl: url,
    shopUrl: null,
  };
  // Without settings both end at once, with a reason of their own.
  const env = { PATH: process.env['PATH'] ?? '' };
  const directory = makeDirectory();
  const { signal } = new AbortController();
  const parts = [apiPart(directory, places, env), sandboxPart(directory, url, env)];
  const why = /^(api|sandbox) ended with code 1: .*DATABASE_URL/s;
  await Promise.all(parts.map((part) => expect(part.start(signal), part.name).rejects.toThrow(why)));
});

test('a part that ends by itself says why', async () => {
  const directory = makeDirectory();
  const { supervisor, events } = supervised();
  const program = `${READY} setTimeout(() => { throw new TypeError('the reason'); }, 50);`;
  await supervisor.supervise(scripted(directory, 'worker', program));
  await until('its end', () => events.some(({ kind }) => kind === 'died'));
  const { exit, lastWords } = events.find((event) => event.kind === 'died')!;
  expect({ exit, lastWords }).toEqual({ exit: { code: 1, signal: null }, lastWords: 'TypeError: the reason' });
  await supervisor.stop(['worker']);
});

test('what a dead part had started is gone before it is started again, even if it will not listen', async () => {
  const directory = makeDirectory();
  const program = `
    import { spawn } from 'node:child_process';
    const deaf = 'trap "" TERM; echo $$ > "$DATA/child-' + process.pid + '"; exec sleep 60';
    spawn('sh', ['-c', deaf], { stdio: 'ignore' });
    ${STAYS}`;
  const { supervisor, restarted } = supervised();
  const first = await supervisor.supervise(scripted(directory, 'worker', program));
  const childFile = join(directory, `child-${first.pid}`);
  await until('the grandchild', () => readIfThere(childFile) !== '');
  const grandchild = Number(readIfThere(childFile));
  expect(isAlive(grandchild)).toBe(true);
  process.kill(first.pid, 'SIGKILL');
  await until('the restart', () => restarted() !== undefined);
  await until('the end of the grandchild', () => !isAlive(grandchild));
  await supervisor.stop(['worker']);
});

test('parts stop in the given order, each gone before the next is asked', async () => {
  const directory = makeDirectory();
  const program = (name: string) => `
    import { appendFileSync } from 'node:fs';
    const log = (what) => appendFileSync(process.env.DATA + '/order', what + ' ');
    process.on('SIGTERM', () => { log('${name}-asked'); setTimeout(() => { log('${name}-gone'); process.exit(); }, 50); });
    ${STAYS}`;
  const { supervisor, events } = supervised();
  for (const name of ['sandbox', 'worker', 'api']) await supervisor.supervise(scripted(directory, name, program(name)));
  await supervisor.stop(['api', 'worker', 'never-started', 'sandbox']);
  expect(readFileSync(join(directory, 'order'), 'utf8')).toBe(
    'api-asked api-gone worker-asked worker-gone sandbox-asked sandbox-gone ',
  );
  expect(events).toEqual([]);
  await expect(supervisor.supervise(scripted(directory, 'late', STAYS))).rejects.toThrow(StoppedError);
});

test('a part that does not get ready is reported with its log and leaves no process', async () => {
  const directory = makeDirectory();
  const { supervisor } = supervised();
  const program = `import { writeFileSync } from 'node:fs'; writeFileSync(process.env.DATA + '/pid', String(process.pid));
    console.log('cannot reach the database'); setInterval(() => {}, 1000);`;
  const failure = await supervisor
    .supervise(scripted(directory, 'api', program, 3_000))
    .catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PartStartError);
  expect((failure as Error).message).toMatch(/api was not ready within 3 s[^]*cannot reach the database/);
  expect(isAlive(Number(readFileSync(join(directory, 'pid'), 'utf8')))).toBe(false);

  const ends = supervisor.supervise(scripted(directory, 'worker', `console.error('bad settings'); process.exit(4);`));
  await expect(ends).rejects.toThrow(/worker ended with code 4[^]*bad settings/);
});

test('a restart that fails is tried again with growing waits until it succeeds', async () => {
  const directory = makeDirectory();
  // Fails while the file `broken` is there.
  const program = `import { existsSync } from 'node:fs';
    if (existsSync(process.env.DATA + '/broken')) { console.log('broken'); process.exit(1); } ${STAYS}`;
  const { supervisor, events, restarted } = supervised();
  const first = await supervisor.supervise(scripted(directory, 'api', program));
  const broken = join(directory, 'broken');
  writeFileSync(broken, '');
  process.kill(first.pid, 'SIGKILL');
  await until('two failed tries', () => events.filter(({ kind }) => kind === 'failed').length >= 2);
  rmSync(broken);
  await until('the restart', () => restarted() !== undefined);
  const failed = events.flatMap((event) => (event.kind === 'failed' ? [event] : []));
  // The terminal shows the first line.
  expect(String(failed[0]?.error).split('\n')[0]).toBe('PartStartError: api ended with code 1: broken');
  const waits = failed.map(({ retryInMs }) => retryInMs);
  expect(waits.slice(0, 2)).toEqual([10, 20]);
  await supervisor.stop(['api']);
});

test('stopping in the middle of a start ends that start', async () => {
  const directory = makeDirectory();
  const { supervisor } = supervised();
  const never = `import { writeFileSync } from 'node:fs'; writeFileSync(process.env.DATA + '/pid', String(process.pid));
    setInterval(() => {}, 1000);`;
  const starting = supervisor.supervise(scripted(directory, 'api', never, 60_000)).catch((error: unknown) => error);
  const pidFile = join(directory, 'pid');
  await until('the process', () => readIfThere(pidFile) !== '');
  await supervisor.stop(['api']);
  expect(await starting).toBeInstanceOf(PartStartError);
  expect(isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
});

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

test('a later start ends what an earlier one left, and no stranger with the same number', async () => {
  const directory = makeDirectory();
  const sleeper = async () => {
    const { pid } = await start('sleep', ['60'], { logFile: join(directory, 'sleep.log') });
    onTestFinished(() => {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    });
    return pid;
  };
  const parts = ['api', 'worker', 'sandbox'].map((name) => ({ name, signal: 'SIGTERM' as const, timeoutMs: 5_000 }));
  const left = await sleeper();
  writeRecord(directory, 'api', left);
  // The number of this record now belongs to another process than the recorded one.
  const stranger = await sleeper();
  const record = { pid: stranger, identity: 'an earlier process', for: directory };
  writeFileSync(join(directory, 'run', 'worker.json'), JSON.stringify(record));
  // The clone from which ours was copied recorded this one.
  const neighbour = await sleeper();
  writeRecord(directory, 'sandbox', neighbour);
  const copied = readFileSync(join(directory, 'run', 'sandbox.json'), 'utf8');
  writeFileSync(join(directory, 'run', 'sandbox.json'), copied.replace(directory, makeDirectory()));

  expect(await endLeftovers(directory, parts)).toEqual(['api']);
  expect([left, stranger, neighbour].map(isAlive)).toEqual([false, true, true]);
  expect(await endLeftovers(directory, parts)).toEqual([]);
});

test('a part whose start was killed before it could write it down is found by its name, and no other clone ends it', async () => {
  const directory = makeDirectory();
  const { supervisor } = supervised();
  const { pid } = await supervisor.supervise(scripted(directory, 'worker', STAYS));
  rmSync(join(directory, 'run'), { recursive: true });
  const parts = [{ name: 'worker', signal: 'SIGTERM' as const, timeoutMs: 5_000 }];
  expect(await endLeftovers(`${directory}2`, parts)).toEqual([]);
  expect(isAlive(pid)).toBe(true);
  // This process is no `npm start`.
  expect(stackThatRuns(directory, ['worker'])).toBeNull();
  supervisor.kill();
  await until('the end by the supervisor', () => !isAlive(pid));

  const left = await scripted(directory, 'worker', STAYS).start(new AbortController().signal);
  rmSync(join(directory, 'run'), { recursive: true });
  expect(await endLeftovers(directory, parts)).toEqual(['worker']);
  expect(isAlive(left.pid)).toBe(false);
});

test('a stack whose data directory was deleted is found by the parts that it runs', async () => {
  const directory = makeDirectory();
  const title = `deposit-engine api of ${JSON.stringify(directory)}`;
  const stack = `"$NODE" "--title=$TITLE" -e 'setInterval(() => {}, 1000)' & wait; exit # local/main.ts`;
  const env = { PATH: process.env['PATH'], NODE: process.execPath, TITLE: title };
  const { pid } = await start('sh', ['-c', stack], { env, logFile: join(directory, 'log') });
  onTestFinished(() => void process.kill(-pid, 'SIGKILL'));
  await until('its part', () => stackThatRuns(directory, ['worker', 'api']) === pid);
  expect(stackThatRuns(`${directory}2`, ['worker', 'api'])).toBeNull();
});
