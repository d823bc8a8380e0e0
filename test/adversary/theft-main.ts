import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { prepareGround } from '../attack/ground/world.ts';
import { runAudit } from '../audit/command.ts';
import { cloneTemplate } from '../support/database.ts';
import { type Engine, launchEngine } from '../support/engine.ts';
import { findingsIn, named, steal } from './theft.ts';

/**
 * `npm run theft -- --seconds 300`: audits an engine under honest traffic, which has to be clean. Then commits a theft
 * and hides it for so long, while the traffic and audits continue. Exit code 1 when an audit of the honest traffic was
 * not clean, or one of the theft did not name it. `--of FOLDER`: with the audit of another version.
 */
const USAGE = `npm run theft -- [--seconds 300] [--of FOLDER]
  --of  a folder with another version: its audit`;
const options = { seconds: { type: 'string', default: '300' }, of: { type: 'string' } } as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const hiddenMs = wholeOr(USAGE, 'seconds', values.seconds, 1) * 1_000;
const say = (line: string) => console.log(line);

/** Deposits that are made and paid, a few at once, until it is stopped. */
function startTraffic(engine: Engine) {
  const over = new AbortController();
  let paid = 0;
  const customers = Array.from({ length: 3 }, async () => {
    while (!over.signal.aborted) {
      // A busy machine responds later; such an order stays open.
      const { status, body } = await engine.create({ wallet: `wallet-${paid % 50}` });
      if (status !== 201) continue;
      await engine.pay((body as { externalOrderNumber: string }).externalOrderNumber);
      paid += 1;
    }
  });
  return {
    paid: () => paid,
    stop: async () => {
      over.abort();
      await Promise.all(customers);
    },
  };
}

const { ground, stop: stopGround } = await prepareGround();
const { db, drop } = await cloneTemplate(ground.postgresUrl);
const out = await mkdtemp(join(tmpdir(), 'deposit-theft-'));
const { engine, stop } = await launchEngine(db, ground.workflowBundle, {});
let missed = 0;
try {
  const servers = { databaseUrl: db.url, temporalAddress: engine.temporal.address };
  const audit = () => runAudit(servers, out, undefined, values.of);
  const traffic = startTraffic(engine);
  for (let i = 0; i < 2; i += 1) {
    const { code, paths, seconds } = await audit();
    if (code !== 0) missed += 1;
    const found = code === 0 ? '' : JSON.stringify((await findingsIn(paths[0]!)).slice(0, 5));
    say(`honest: exit ${code} after ${seconds} s, ${traffic.paid()} deposits paid ${found}`);
  }
  const theft = await steal(engine);
  say(`refused to the logins of processes: ${theft.refused.join(', ')}`);
  const refreshing = setInterval(() => void theft.refresh().catch(() => undefined), 1_000);
  const until = performance.now() + hiddenMs;
  while (performance.now() < until) {
    const { code, paths, seconds } = await audit();
    const found = paths[0] === undefined ? [] : named(await findingsIn(paths[0]), theft);
    if (found.length === 0) missed += 1;
    say(
      `${new Date().toISOString()} exit ${code} after ${seconds} s: ${found.map(({ where, detail }) => `${where} ${detail}`).join('; ') || 'NOT FOUND'}`,
    );
  }
  clearInterval(refreshing);
  await traffic.stop();
  say(`${traffic.paid()} deposits were paid meanwhile`);
} finally {
  await stop();
  await drop();
  await stopGround();
  await rm(out, { recursive: true, force: true });
}
process.exitCode = missed === 0 ? 0 : 1;
process.exit();
