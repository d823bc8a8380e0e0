import { parseArgs } from 'node:util';
import { drill } from './drill.ts';
import { ROUNDS } from './rounds.ts';
import { openStage, PROGRAMS } from './stage.ts';

/**
 * `npm run drill`: cuts, kills, freezes, fills, makes read-only and restarts each of PostgreSQL, Temporal, API, worker
 * and sandbox under callbacks and creates. Exit code 1 when another process died, a response was neither 2xx nor 503
 * with Retry-After, or a payment was not credited exactly once.
 */

const { values } = parseArgs({
  options: {
    callbacks: { type: 'string', default: '200' },
    creates: { type: 'string', default: '50' },
    /** Names of rounds, or their beginnings, separated by commas. */
    only: { type: 'string', default: '' },
  },
});
const load = { callbacks: Number(values.callbacks), creates: Number(values.creates) };
const wanted = values.only.split(',').filter((name) => name !== '');
const rounds = ROUNDS.filter(({ name }) => wanted.length === 0 || wanted.some((one) => name.startsWith(one)));
if (rounds.length === 0) throw new Error(`--only: none of ${ROUNDS.map(({ name }) => name).join(', ')}`);

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
