import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { root } from '../../local/servers/paths.ts';
import { prepareGround } from '../attack/ground/world.ts';
import { runAdversary } from './run.ts';

/**
 * `npm run adversary`: hostile statements with every login of the engine, and the audit's verdict on each. Exit code 1
 * when one is unseen, or when the control shows that the adversary itself detects nothing.
 */

const USAGE = `npm run adversary -- [--seed 1] [--each N] [--pairs 800] [--control 60] [--committed 50] [--live 60]
                     [--unregistered]`;
const options = {
  seed: { type: 'string', default: '1' },
  each: { type: 'string' },
  pairs: { type: 'string', default: '800' },
  control: { type: 'string', default: '60' },
  committed: { type: 'string', default: '50' },
  live: { type: 'string', default: '60' },
  unregistered: { type: 'boolean', default: false },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const whole = (name: Exclude<keyof typeof options, 'each' | 'unregistered'>) => wholeOr(USAGE, name, values[name]);
const asked = {
  seed: whole('seed'),
  each: values.each === undefined ? null : wholeOr(USAGE, 'each', values.each),
  pairs: whole('pairs'),
  control: whole('control'),
  committed: whole('committed'),
  live: whole('live'),
  registered: !values.unregistered,
};

const say = (line: string) => console.log(line);
const { ground, stop } = await prepareGround();
try {
  const report = await runAdversary({
    ...asked,
    ground,
    say,
  });
  const folder = join(root, 'test-output');
  mkdirSync(folder, { recursive: true });
  const isBuffer = (item: unknown) =>
    item !== null && typeof item === 'object' && 'type' in item && item.type === 'Buffer';
  const json = JSON.stringify(report, (_key, item: unknown) => (isBuffer(item) ? '…' : item), 2);
  writeFileSync(join(folder, 'adversary.json'), `${json}\n`);
  const unseenLive = report.live.filter(({ verdict }) => verdict === 'unseen');
  for (const { outcome, why } of unseenLive) say(`UNSEEN, running: ${outcome.attempt.name}\n  ${why}`);
  for (const [before, after] of report.committed.others)
    say(`COMMITTED ${after.verdict} and not ${before.verdict}: ${before.attempt.name}\n  ${after.why}`);
  const { found, unseenThen } = report.control;
  const isBlind = unseenThen < found || found === 0;
  say(
    `seed ${report.seed}, ${report.seconds} s: ${report.unseen.length + unseenLive.length} unseen${isBlind ? '; the control says that this run is blind' : ''}`,
  );
  const faults = report.unseen.length + unseenLive.length + report.committed.others.length;
  process.exitCode = faults > 0 || isBlind ? 1 : 0;
} finally {
  await stop();
}
process.exit();
