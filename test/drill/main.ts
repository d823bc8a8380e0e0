import { endMisused, readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { drill } from './drill.ts';
import { ROUNDS } from './rounds.ts';
import { openStage, PROGRAMS } from './stage.ts';

/**
 * `npm run drill`: cuts, kills, freezes, fills, makes read-only and restarts each of PostgreSQL, Temporal, API, worker
 * and sandbox under callbacks and creates. Exit code 1 when another process died, a response was neither 2xx nor 503
 * with Retry-After, or a payment was not credited exactly once.
 */

const USAGE = `npm run drill -- [--callbacks 200] [--creates 50] [--only ROUND,…]
rounds, by their names or how these begin: ${ROUNDS.map(({ name }) => name).join(', ')}`;
const options = {
  callbacks: { type: 'string', default: '200' },
  creates: { type: 'string', default: '50' },
  only: { type: 'string', default: '' },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const whole = (name: 'callbacks' | 'creates') => wholeOr(USAGE, name, values[name], 1);
const load = { callbacks: whole('callbacks'), creates: whole('creates') };
const wanted = values.only.split(',').filter((name) => name !== '');
const rounds = ROUNDS.filter(({ name }) => wanted.length === 0 || wanted.some((one) => name.startsWith(one)));
if (rounds.length === 0) endMisused(`--only ${values.only}: there is no such round`, USAGE);

const stage = await openStage();
const told = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .map(([status, n]) => `${n} × ${status}`)
    .join(', ');
let failed = 0;
try {
  for (const round of rounds) {
    const { creates, callbacks, credited, unknown, seconds, faults } = await drill(stage, round, load);
    const head = `${faults.length === 0 ? '✓' : '✗'} ${round.name}`.padEnd(22);
    console.log(
      `${head} creates ${told(creates)}; callbacks ${told(callbacks)}; credited ${credited}, each once; unknown ${unknown}; ${seconds.toFixed(0)} s`,
    );
    for (const fault of faults) console.log(`    ${fault}`);
    failed += faults.length === 0 ? 0 : 1;
  }
} catch (error) {
  for (const name of PROGRAMS) console.error(`--- ${name}\n${stage.logOf(name).slice(-1_500)}`);
  throw error;
} finally {
  await stage.stop();
}
console.log(
  failed === 0
    ? 'nothing died, nothing was lost, nothing was credited twice'
    : `${failed} of ${rounds.length} rounds failed`,
);
process.exit(failed === 0 ? 0 : 1);
