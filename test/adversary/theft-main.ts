import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { prepareGround } from '../attack/world.ts';
import { runAudit } from '../audit/command.ts';
import { cloneTemplate } from '../support/database.ts';
import { launchEngine } from '../support/engine.ts';
import { findingsIn, named, steal } from './theft.ts';

/**
 * `npm run theft -- --seconds 300`: commits a theft and hides it for so long, while audits go on all the time. Exit code 1
 * when one of them did not name it. `--of FOLDER`: with the audit of another version.
 */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '300' }, of: { type: 'string' } } });
const say = (line: string) => console.log(line);

const { ground, stop: stopGround } = await prepareGround();
const { db, drop } = await cloneTemplate(ground.postgresUrl);
const out = await mkdtemp(join(tmpdir(), 'deposit-theft-'));
const { engine, stop } = await launchEngine(db, ground.workflowBundle, {});
let missed = 0;
try {
  const servers = { databaseUrl: db.url, temporalAddress: engine.temporal.address };
  const audit = () => runAudit(servers, out, undefined, values.of);
  say(`before: exit ${(await audit()).code}`);
  const theft = await steal(engine);
  say(`refused to the logins of processes: ${theft.refused.join(', ')}`);
  const refreshing = setInterval(() => void theft.refresh(), 1_000);
  const until = performance.now() + Number(values.seconds) * 1_000;
  while (performance.now() < until) {
    const { code, paths, seconds } = await audit();
    const found = paths[0] === undefined ? [] : named(await findingsIn(paths[0]), theft);
    if (found.length === 0) missed += 1;
    say(
      `${new Date().toISOString()} exit ${code} after ${seconds} s: ${found.map(({ where, detail }) => `${where} ${detail}`).join('; ') || 'NOT FOUND'}`,
    );
  }
  clearInterval(refreshing);
} finally {
  await stop();
  await drop();
  await stopGround();
  await rm(out, { recursive: true, force: true });
}
process.exitCode = missed === 0 ? 0 : 1;
process.exit();
