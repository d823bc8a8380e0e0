/** `npm start`: the whole engine on this machine, a deposit to look at, and every link. */

import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Deposit } from '../client/src/client.ts';
import { UsageError } from '../config/command-line.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { withDirectLoopback } from '../config/loopback.ts';
import { type LocalOptions, parseArguments, usage } from './terminal/arguments.ts';
import { errorSentence } from './servers/error-sentences.ts';
import { readEmbedded } from './stack/environment.ts';
import { forgetLocalEnv } from './stack/local-env.ts';
import { InterruptedError, listenForInterrupts, untilInterrupted } from './stack/interrupt.ts';
import { holdsLock, LockedError, takeLock } from './servers/lock.ts';
import { stackThatRuns } from './stack/node-part.ts';
import { cacheDirectory, dataDirectory, root } from './servers/paths.ts';
import { proveAcknowledged, proveCreditedOnce } from './terminal/proof.ts';
import { sampleAmount, walkSample } from './terminal/sample.ts';
import { createStack, type StackFacts, STOP_ORDER } from './stack/stack.ts';
import { tellLinks, tellOpenDeposits, tellTryIt } from './stack/stack-story.ts';
import { createStory, seconds, type Story } from './terminal/story.ts';
import '../config/broken-pipe.ts';

const FAILED = 1;
const MISUSED = 2;
const INTERRUPTED = 130;
const WATCH_MS = 500;

// The reader of the output may close the pipe; the stack still stops in order.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
forgetLocalEnv(process.env);
Object.assign(process.env, withDirectLoopback(process.env));
process.exit(await main());

/** Returns the exit code. */
async function main(): Promise<number> {
  try {
    const options = parseArguments(process.argv.slice(2), process.env);
    if (options.help) {
      console.log(usage);
      return 0;
    }
    refuseWhatCannotBe(options);
    return await runLocked(options);
  } catch (error) {
    console.error(`\n${errorSentence(error)}`);
    return error instanceof UsageError ? MISUSED : FAILED;
  }
}

function refuseWhatCannotBe({ once }: LocalOptions): void {
  if (process.platform === 'win32') {
    throw new UsageError('The embedded servers run on Linux and macOS; on Windows, start this inside WSL.');
  }
  const { sandbox } = readEmbedded(process.env);
  if (once && !sandbox) {
    throw new UsageError(
      '--once proves itself with a sample deposit, and with MTPAY_BASE_URL set none is placed: ' +
        'it would be an order at a real provider. Remove MTPAY_BASE_URL, or leave --once out.',
    );
  }
}

async function runLocked(options: LocalOptions): Promise<number> {
  // It holds keys, databases and logs: private to this user.
  refuseReadOnly();
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const lock = join(dataDirectory, 'lock');
  const unlock = takeLock(lock);
  refuseSecond(unlock);
  const story = createStory({
    isTerminal: process.stdout.isTTY,
    columns: process.stdout.columns ?? 80,
    write: (text) => process.stdout.write(text),
  });
  const stack = createStack({ env: process.env, dataDirectory, clone: root, story });
  const interrupt = listenForInterrupts(() => {
    stack.kill();
    unlock();
    process.exit(INTERRUPTED);
  });
  const interrupted = untilInterrupted(interrupt);
  const watch = watchData(lock);
  let isUp = false;
  const ended = Promise.race([interrupted, watch.gone]);
  try {
    if (options.onceByNpm) story.warn('npm takes --once for its own; it was meant for us: npm start -- --once');
    story.heading('Starting');
    tellMisspelt((line) => story.warn(line));
    const facts = await Promise.race([stack.start(), ended]);
    const code = await Promise.race([afterStart(options, facts, story, interrupt), ended]);
    if (code !== 'stay up') return code;
    isUp = true;
    return await ended;
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    return isUp ? 0 : INTERRUPTED;
  } finally {
    watch.stop();
    if (stack.hasStarted()) story.heading('Stopping: shop, API, worker, notifier, sandbox, then the servers …');
    await stack.stop();
    if (stack.hasStarted()) story.say('Stopped; what is open goes on at the next start.');
    unlock();
  }
}

/** Checks this once and first: otherwise every part of a start would report it in its own words. */
function refuseReadOnly(): void {
  for (const directory of [dataDirectory, cacheDirectory]) {
    const place = existsSync(directory) ? directory : root;
    try {
      accessSync(place, constants.W_OK);
    } catch (error) {
      throw new UsageError(
        `${errorSentence(error)} npm start keeps what it needs in ${dataDirectory} and ${cacheDirectory}; ` +
          'make them, writable by you, or use a clone that is.',
        { cause: error },
      );
    }
  }
}

/** Deleting .data deletes the lock, but the processes of that stack still run. */
function refuseSecond(unlock: () => void): void {
  const running = stackThatRuns(dataDirectory, STOP_ORDER);
  if (running === null) return;
  unlock();
  throw new LockedError(
    `This clone's stack is running already (process ${running}), although its .data was deleted meanwhile. ` +
      'Stop it with Ctrl-C there, or end that process, and start again.',
  );
}

/** `gone` rejects when the data directory is deleted or another start has taken it: this stack is useless then. */
function watchData(lock: string): { readonly gone: Promise<never>; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const gone = new Promise<never>((_resolve, reject) => {
    timer = setInterval(() => {
      if (holdsLock(lock)) return;
      clearInterval(timer);
      reject(new LockedError(`${dataDirectory} was deleted while the stack ran on it, so the stack has stopped.`));
    }, WATCH_MS).unref();
  });
  gone.catch(() => {});
  return { gone, stop: () => clearInterval(timer) };
}

/** Walks the sample deposit and prints all addresses. */
async function afterStart(
  options: LocalOptions,
  facts: StackFacts,
  story: Story,
  signal: AbortSignal,
): Promise<number | 'stay up'> {
  await tellOpenDeposits(story, facts.api).catch((error: unknown) => story.warn(errorSentence(error)));
  // Beside the sample deposit, which does not wait for it.
  const shop = options.once ? null : facts.openShop(signal);
  const sample =
    facts.places.sandboxUrl === null ? null : await trySample(facts, facts.places.sandboxUrl, story, signal);
  if (options.once) return sample === null ? FAILED : await prove(facts, sample, story);
  if (sample === null && facts.places.sandboxUrl === null) {
    story.say('MTPAY_BASE_URL is set: no sample deposit is placed at a real provider.');
    warnAboutLoopback(facts, story);
  }
  tellLinks(story, facts, sample, await shop);
  tellTryIt(story, facts);
  story.say('');
  story.say('Ctrl-C stops everything; what is open goes on at the next start.');
  return 'stay up';
}

async function trySample(
  facts: StackFacts,
  sandboxUrl: string,
  story: Story,
  signal: AbortSignal,
): Promise<Deposit | null> {
  story.heading('One deposit, from order to wallet');
  try {
    const { api, controlToken } = facts;
    const deposit = await walkSample({ api, sandboxUrl, controlToken, story, signal });
    story.say(`${seconds(performance.now())} after npm start began.`);
    return deposit;
  } catch (error) {
    if (signal.aborted) throw error;
    story.warn(errorSentence(error));
    return null;
  }
}

async function prove(facts: StackFacts, sample: Deposit, story: Story): Promise<number> {
  story.heading('Proof');
  const { externalOrderNumber } = sample;
  const findings = [
    await proveAcknowledged(facts.places.sandboxUrl ?? '', facts.controlToken, externalOrderNumber),
    ...(await proveCreditedOnce(facts.api, facts.databaseUrl, externalOrderNumber, sampleAmount)),
  ];
  for (const { holds, found } of findings) {
    if (holds) story.say(found);
    else story.warn(found);
  }
  const proved = findings.every(({ holds }) => holds);
  if (proved) story.say('Acknowledged, credited exactly once, and the ledger balances.');
  else story.warn('Not proved: the lines marked with ! do not hold.');
  return proved ? 0 : FAILED;
}

function warnAboutLoopback(facts: StackFacts, story: Story): void {
  if (!/\/\/(127\.|localhost|\[::1\])/.test(facts.places.callbackBaseUrl)) return;
  story.warn('CALLBACK_BASE_URL is an address of this machine only: the provider cannot reach it.');
}
