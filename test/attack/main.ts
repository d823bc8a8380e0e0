import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { endMisused, readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { refuseUnwritable } from '../../harness/result-file.ts';
import { root } from '../../local/servers/paths.ts';
import { DEFENCES } from './defences.ts';
import { writeReport } from './report.ts';
import { type AttackOptions, runAttack, type SeriesName } from './run.ts';
import { runSabotage } from './sabotage.ts';

/**
 * `npm run attack`: attacks an engine of its own over HTTP. Exit code 1 when a hostile message passed or an honest one
 * did not.
 */

const ALL: readonly SeriesName[] = ['signatures', 'tokens', 'middle'];

const USAGE = `npm run attack -- [--seed 1] [--count N] [--series all|both|${ALL.join('|')}] [--json FILE]
npm run attack -- --sabotage all|DEFENCE,… [--seed 1] [--count N]
defences:
${DEFENCES.map(({ name }) => `  ${name}`).join('\n')}`;
const options = {
  seed: { type: 'string', default: '1' },
  count: { type: 'string' },
  json: { type: 'string' },
  series: { type: 'string', default: 'all' },
  sabotage: { type: 'string' },
  // The sabotage's options for the attacks that it starts.
  given: { type: 'string', default: '{}' },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const whole = (name: string, text: string): number => wholeOr(USAGE, name, text);

function seriesOf(text: string): readonly SeriesName[] {
  if (text === 'all') return ALL;
  if (text === 'both') return ['signatures', 'tokens'];
  const found = ALL.find((name) => name === text);
  return found === undefined ? endMisused(`--series ${text}: there is no such series`, USAGE) : [found];
}

const output = join(root, 'test-output');
const file = (name: string) => {
  const path = join(output, name);
  mkdirSync(dirname(path), { recursive: true });
  return path;
};
const say = (line: string) => console.log(line);
const seed = whole('seed', values.seed);

const removed = values.sabotage === undefined || values.sabotage === 'all' ? [] : values.sabotage.split(',');
const unknown = removed.find((name) => !DEFENCES.some((defence) => defence.name === name));
if (unknown !== undefined) endMisused(`--sabotage ${unknown}: there is no such defence`, USAGE);

if (values.json !== undefined) refuseUnwritable(USAGE, 'json', values.json);
if (values.sabotage === undefined) {
  const given = JSON.parse(values.given) as Pick<AttackOptions, 'ground' | 'untilRed'>;
  const report = await runAttack({
    ...given,
    seed,
    count: whole('count', values.count ?? '100000'),
    series: seriesOf(values.series),
    say,
  });
  const { json, markdown, summary } = writeReport(report);
  writeFileSync(values.json ?? file('attack.json'), json);
  writeFileSync(file('attack.md'), markdown);
  say(summary);
  process.exitCode = report.failures.length === 0 ? 0 : 1;
} else {
  const rows = await runSabotage({ which: values.sabotage, seed, count: whole('count', values.count ?? '2000'), say });
  writeFileSync(file('sabotage.json'), `${JSON.stringify(rows, null, 2)}\n`);
  writeFileSync(file('sabotage.md'), rows.map((row) => row.markdown).join('\n'));
  process.exitCode = rows.every((row) => row.asExpected) ? 0 : 1;
}
