/** `npm start`: the whole engine on this machine, a deposit to look at, and every link. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type LocalOptions, parseArguments, UsageError, usage } from './arguments.ts';
import type { Deposit } from './engine-api.ts';
import { readEmbedded } from './environment.ts';
import { InterruptedError, listenForInterrupts, untilInterrupted } from './interrupt.ts';
import { takeLock } from './lock.ts';
import { dataDirectory, root } from './paths.ts';
import { proveCreditedOnce } from './proof.ts';
import { sampleAmount, walkSample } from './sample.ts';
import { createStack, type StackFacts } from './stack.ts';
import { tellLinks, tellOpenDeposits, tellTryIt } from './stack-story.ts';
import { createStory, seconds, type Story } from './story.ts';

const FAILED = 1;
const MISUSED = 2;
const INTERRUPTED = 130;

// Whoever reads the story may stop reading; the stack is stopped in order all the same.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exit(await main());

/** Returns the exit code. */
async function main(): Promise<number> {
  try {
    const options = parseArguments(process.argv.slice(2));
    if (options.help) {
      console.log(usage);
      return 0;
    }
    refuseWhatCannotBe(options);
    return await runLocked(options);
  } catch (error) {
    console.error(`\n${describe(error)}`);
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
  // Keys, databases and logs: nobody else's business.
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const unlock = takeLock(join(dataDirectory, 'lock'));
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
  try {
    story.heading('Starting');
    const facts = await Promise.race([stack.start(), interrupted]);
    const code = await Promise.race([afterStart(options, facts, story, interrupt), interrupted]);
    if (code !== 'stay up') return code;
    await interrupted.catch(() => {});
    return 0;
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    return INTERRUPTED;
  } finally {
    if (stack.hasStarted()) story.heading('Stopping: API, worker, sandbox, then the servers …');
    await stack.stop();
    if (stack.hasStarted()) story.say('Stopped; what is open goes on at the next start.');
    unlock();
  }
}

/** Walks the sample deposit and says where everything is. */
async function afterStart(
  options: LocalOptions,
  facts: StackFacts,
  story: Story,
  signal: AbortSignal,
): Promise<number | 'stay up'> {
  await tellOpenDeposits(story, facts.api).catch((error: unknown) => story.warn(describe(error)));
  const sample =
    facts.places.sandboxUrl === null ? null : await trySample(facts, facts.places.sandboxUrl, story, signal);
  if (options.once) return sample === null ? FAILED : await prove(facts, sample, story);
  if (sample === null && facts.places.sandboxUrl === null) {
    story.say('MTPAY_BASE_URL is set: no sample deposit is placed at a real provider.');
    warnAboutLoopback(facts, story);
  }
  tellLinks(story, facts, sample);
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
    story.warn(describe(error));
    return null;
  }
}

async function prove(facts: StackFacts, sample: Deposit, story: Story): Promise<number> {
  story.heading('Proof');
  const findings = await proveCreditedOnce(facts.api, facts.databaseUrl, sample.externalOrderNumber, sampleAmount);
  for (const { holds, found } of findings) {
    if (holds) story.say(found);
    else story.warn(found);
  }
  const proved = findings.every(({ holds }) => holds);
  if (proved) story.say('Credited exactly once, and the ledger balances.');
  else story.warn('Not proved: the lines marked with ! do not hold.');
  return proved ? 0 : FAILED;
}

function warnAboutLoopback(facts: StackFacts, story: Story): void {
  if (!/\/\/(127\.|localhost|\[::1\])/.test(facts.places.callbackBaseUrl)) return;
  story.warn('CALLBACK_BASE_URL is an address of this machine only: the provider cannot reach it.');
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Errors of this folder are sentences; anything else is a defect and shows where.
  return error.name === 'Error' || error.name.endsWith('TypeError') ? (error.stack ?? error.message) : error.message;
}
