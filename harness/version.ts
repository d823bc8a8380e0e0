import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endMisused } from '../config/command-line.ts';
import { root } from '../local/servers/paths.ts';

const run = promisify(execFile);

/** Returns the name of a commit that an option gives; if git has none of that name, prints the usage and exits with 2. */
export function commitOr(usage: string, option: string, name: string | undefined): string {
  if (name === undefined) return endMisused(`--${option} COMMIT is missing`, usage);
  const found = spawnSync('git', [
    '-C',
    root,
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${name}^{commit}`,
  ]);
  return found.status === 0 ? name : endMisused(`--${option}: git has no commit ${JSON.stringify(name)}`, usage);
}

/** The files of that version, with the packages of this one where it asks for the same. */
export async function checkout(commit: string): Promise<{ readonly at: string; readonly drop: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-before-'));
  const at = join(folder, 'engine');
  const git = (...args: string[]) => run('git', ['-C', root, ...args]);
  await git('worktree', 'add', '--detach', at, commit);
  const isSame = await git('diff', '--quiet', commit, 'HEAD', '--', 'package-lock.json').then(
    () => true,
    () => false,
  );
  if (isSame) await symlink(join(root, 'node_modules'), join(at, 'node_modules'));
  else await run('npm', ['ci'], { cwd: at });
  return {
    at,
    async drop() {
      await git('worktree', 'remove', '--force', at);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a command of the version at `at` to its end; returns its output. */
export const command = (
  at: string,
  entry: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> =>
  run(process.execPath, ['--import', 'tsx', entry, ...args], {
    cwd: at,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
  }).then(({ stdout }) => stdout.trim());
