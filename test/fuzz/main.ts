import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { issueKey, type NewKey } from '../../database/queries/api-keys.ts';
import { createPool } from '../../database/pool.ts';
import { root } from '../../local/servers/paths.ts';
import type { Document } from '../support/pages/document.ts';
import { createStack, type StackFacts } from '../../local/stack/stack.ts';
import { walkSample } from '../../local/terminal/sample.ts';
import { createStory } from '../../local/terminal/story.ts';
import { drive } from './drive.ts';
import type { Sample } from './samples.ts';
import { judge, markdown, measure } from './report.ts';
import { findSchemathesis, readLines, runSchemathesis } from './schemathesis.ts';

/**
 * `npm run fuzz -- --count 50000 --seed 1`: requests generated from the OpenAPI document against an engine of its own,
 * watched from inside the API process. Exit 0 only without a finding. Reports in test-output/.
 */

const USAGE = 'npm run fuzz -- [--count 50000] [--seed 1]';
const options = { count: { type: 'string', default: '50000' }, seed: { type: 'string', default: '1' } } as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const [count, seed] = [wholeOr(USAGE, 'count', values.count, 1), wholeOr(USAGE, 'seed', values.seed)];

/** Every real deposit costs a workflow: this many are created, and all other creates meet them. */
const CREATES = 300;
/** Test cases per operation and phase of the rounds of schemathesis: one creates, one is limited to a wallet, one decides. */
const EXAMPLES = { creating: 40, limited: 100, deciding: 40 };
/** Deposits that are paid, so that operators have credits to doubt and cases to decide. */
const CREDITED = 12;
const CONCURRENCY = 8;

const data = mkdtempSync(join(tmpdir(), 'deposit-engine-fuzz-'));
const monitorFile = join(data, 'monitor.jsonl');
const story = createStory({ isTerminal: false, columns: 100, write: (text) => process.stderr.write(text) });
const stack = createStack({ env: environment(), dataDirectory: data, clone: root, story });

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stack.stop().then(() => process.exit(130));
  });
}

try {
  process.exitCode = await fuzz();
} finally {
  await stack.stop();
  rmSync(data, { recursive: true, force: true });
}

/** Only those variables of this machine that a program needs to run. */
function environment(): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env;
  const monitor = fileURLToPath(new URL('monitor.mjs', import.meta.url));
  return {
    PATH,
    HOME,
    NODE_OPTIONS: `--import=${monitor}`,
    FUZZ_MONITOR: monitorFile,
    // The limits would refuse most requests; they have tests of their own.
    API_RATE_LIMIT: '999999',
    API_RATE_BURST: '999999',
    API_FAILURE_LIMIT: '999999',
    API_FAILURE_BURST: '999999',
  };
}

async function fuzz(): Promise<number> {
  const program = await findSchemathesis();
  const facts = await stack.start();
  const keys = await issueKeys(facts);
  const { apiUrl } = facts.places;
  const document = (await (await fetch(`${apiUrl}/openapi.json`)).json()) as Document;
  // Earlier samples are the start of the process: code is read and compiled.
  const start = (await readLines<Sample>(monitorFile)).length;
  const findings: string[] = [];
  const credited = await payDeposits(facts);
  for (const [at, key] of (['creating', 'limited', 'deciding'] as const).entries()) {
    const round = { program, apiUrl, apiKey: keys[key], seed: seed * 3 + at, folder: data };
    const { findings: found } = await runSchemathesis({ ...round, examples: EXAMPLES[key] });
    if (found !== '') findings.push(found);
    story.say(`schemathesis, a key ${key}: ${await requests()} requests${found === '' ? '' : ', with findings'}`);
  }
  const driven = await drive({
    apiUrl,
    document,
    creatingKey: keys.creating,
    limitedKey: keys.limited,
    decidingKeys: [keys.deciding, keys.confirming],
    credited,
    seed,
    count: Math.max(1, count - (await requests())),
    creates: CREATES,
    concurrency: CONCURRENCY,
  });
  const created = await countDeposits(facts);
  story.say(`our own generator: ${driven.sent} requests, ${driven.findings.length} findings`);
  await requests();
  return report(start, created, [...findings, ...driven.findings]);
}

/** As the API process counts them; it writes twice a second. */
async function requests(): Promise<number> {
  await sleep(1_100);
  return (await readLines<Sample>(monitorFile)).at(-1)?.requests ?? 0;
}

async function report(start: number, created: number, found: readonly string[]): Promise<number> {
  const measured = measure((await readLines<Sample>(monitorFile)).slice(start));
  const findings = [...found, ...judge(measured, measured.requests >= 5_000)];
  const whole = { seed, wanted: count, created, measured, findings };
  mkdirSync(join(root, 'test-output'), { recursive: true });
  writeFileSync(join(root, 'test-output', 'fuzz.json'), `${JSON.stringify(whole, null, 2)}\n`);
  writeFileSync(join(root, 'test-output', 'fuzz.md'), markdown(whole));
  console.log(markdown(whole));
  return findings.length === 0 ? 0 : 1;
}

/** Four keys: one may do everything but decide, one may create for no generated wallet, two are operators'. */
async function issueKeys(
  facts: StackFacts,
): Promise<Record<'creating' | 'limited' | 'deciding' | 'confirming', string>> {
  const pool = createPool({ url: facts.databaseUrl, max: 1, applicationName: 'fuzz' });
  const issue = async (wanted: NewKey) => (await issueKey(pool, wanted)).key;
  const scopes = ['deposits:create', 'deposits:read', 'events:read', 'endpoints:manage', 'audit:read'] as const;
  try {
    return {
      creating: await issue({ name: 'fuzz-creating', scopes }),
      limited: await issue({ name: 'fuzz-limited', scopes, wallets: ['wallet-42'] }),
      deciding: await issue({ name: 'fuzz-alice', scopes: ['reviews:decide', 'deposits:read'] }),
      confirming: await issue({ name: 'fuzz-bob', scopes: ['reviews:decide', 'deposits:read'] }),
    };
  } finally {
    await pool.end();
  }
}

/** Order numbers of deposits that were placed, paid and credited. */
async function payDeposits({ api, places, controlToken }: StackFacts): Promise<string[]> {
  const quiet = createStory({ isTerminal: false, columns: 100, write: () => undefined });
  const { signal } = new AbortController();
  const options = { api, sandboxUrl: places.sandboxUrl!, controlToken, story: quiet, signal };
  const numbers: string[] = [];
  while (numbers.length < CREDITED) numbers.push((await walkSample(options)).externalOrderNumber);
  return numbers;
}

async function countDeposits(facts: StackFacts): Promise<number> {
  const pool = createPool({ url: facts.databaseUrl, max: 1, applicationName: 'fuzz' });
  try {
    return (await pool.query<{ n: number }>('select count(*)::int as n from engine.deposit')).rows[0]!.n;
  } finally {
    await pool.end();
  }
}
