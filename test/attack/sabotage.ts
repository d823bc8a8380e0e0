import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { root } from '../../local/servers/paths.ts';
import { type Defence, DEFENCES } from './defences.ts';
import { type Ground, prepareGround } from './ground/world.ts';

export interface SabotageRow {
  readonly defence: string;
  /** Whether the command turned red, and the control run stayed green. */
  readonly asExpected: boolean;
  readonly failures: readonly string[];
  readonly markdown: string;
}

const NOT_COPIED = new Set(['node_modules', '.git', '.data', '.cache', 'dist', 'test-output', 'coverage']);
/** No defense is removed: the same copy, the same command, green. */
const CONTROL: Defence = { name: 'nothing (control)', edits: [], series: 'all' };

/**
 * Removes one defense after the other, each in a copy of the sources, and runs the attack there. The product has no
 * switch: a defense is removed by editing the text of a copy.
 */
export async function runSabotage(options: {
  readonly which: string;
  readonly seed: number;
  readonly count: number;
  readonly say: (line: string) => void;
}): Promise<SabotageRow[]> {
  const wanted = [CONTROL, ...DEFENCES].filter(
    ({ name }) => options.which === 'all' || options.which.split(',').includes(name),
  );
  const rows: SabotageRow[] = [];
  const copy = copySources();
  const { ground, stop } = await prepareGround();
  try {
    for (const defence of wanted) {
      const row = rowOf(defence, await attackWithout({ ...options, copy, ground }, defence));
      options.say(row.markdown);
      rows.push(row);
    }
  } finally {
    await stop();
    rmSync(copy, { recursive: true, force: true });
  }
  const expected = rows.filter((row) => row.asExpected).length;
  options.say(`${expected} of ${rows.length} as expected`);
  return rows;
}

function copySources(): string {
  const copy = mkdtempSync(join(tmpdir(), 'deposit-engine-sabotage-'));
  cpSync(root, copy, {
    recursive: true,
    filter: (path) => path === root || !NOT_COPIED.has(relative(root, path).split('/')[0]!),
  });
  // Packages, and the servers that were downloaded once.
  for (const shared of ['node_modules', '.cache']) {
    if (existsSync(join(root, shared))) symlinkSync(join(root, shared), join(copy, shared));
  }
  return copy;
}

interface Site {
  readonly copy: string;
  readonly ground: Ground;
  readonly seed: number;
  readonly count: number;
}

/** The failures that the attack finds without this defense; empty when it found none. */
async function attackWithout(site: Site, defence: Defence): Promise<readonly string[]> {
  const at = (file: string) => join(site.copy, file);
  const untouched = new Map(defence.edits.map(({ file }) => [file, readFileSync(at(file), 'utf8')]));
  try {
    for (const edit of defence.edits)
      writeFileSync(at(edit.file), applyEdit(readFileSync(at(edit.file), 'utf8'), edit));
    // Another program may take a port that was just found free: then there is no report, and a second try.
    return (await attack(site, defence)) ?? (await attack(site, defence)) ?? neverEnded(defence);
  } finally {
    for (const [file, text] of untouched) writeFileSync(at(file), text);
  }
}

const neverEnded = ({ name }: Defence): never => {
  throw new Error(`the attack without "${name}" did not come to its end`);
};

/** An edit of the database or the bundle requires a new one. */
const changesGround = ({ edits }: Defence): boolean =>
  edits.some(({ file }) => /^(domain|workflows|database\/migrations)\//.test(file));

/** Null when it broke off. */
async function attack({ copy, ground, seed, count }: Site, defence: Defence): Promise<readonly string[] | null> {
  const json = join(copy, 'attack.json');
  rmSync(json, { force: true });
  const given = JSON.stringify({ untilRed: defence.edits.length > 0, ...(changesGround(defence) ? {} : { ground }) });
  const args = ['--seed', String(seed), '--count', String(count), '--series', defence.series, '--json', json];
  const output = await run(copy, ['--import', 'tsx', 'test/attack/main.ts', ...args, '--given', given]);
  if (existsSync(json)) return (JSON.parse(readFileSync(json, 'utf8')) as { failures: string[] }).failures;
  console.error(output);
  return null;
}

/** Throws for an edit without a match, or with too many: the table would report a defense that was never removed. */
export function applyEdit(source: string, { file, find, replace }: Defence['edits'][number]): string {
  const parts = source.split(find);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times, and not once: ${find}`);
  return parts.join(replace);
}

function run(cwd: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('exit', (code) => resolve(`${output}\n${basename(cwd)} exited with ${code}`));
  });
}

/**
 * Failures that only a missing defense can cause. A machine that is too busy fails as well, and that proves nothing.
 */
const tells = (failure: string): boolean =>
  !/no attempt was made|untouched original|waited in vain|^genuine/.test(failure);

function rowOf({ name, edits }: Defence, all: readonly string[]): SabotageRow {
  const failures = edits.length === 0 ? all : all.filter(tells);
  const asExpected = edits.length === 0 ? failures.length === 0 : failures.length > 0;
  const colour = failures.length === 0 ? 'green' : 'red';
  const shown = failures.slice(0, 3).map((failure) => failure.replaceAll('|', '/').slice(0, 140));
  const more = failures.length > 3 ? [`and ${failures.length - 3} more`] : [];
  const found = [...shown, ...more].join('<br>');
  return {
    defence: name,
    asExpected,
    failures,
    markdown: `| ${name} | ${asExpected ? colour : `**${colour}**`} | ${found} |`,
  };
}
