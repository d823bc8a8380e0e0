import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../local/servers/paths.ts';

const run = promisify(execFile);

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

/** The commit of the files at `at`, with `-dirty` where they differ from it; empty without a repository. */
export const commitOf = (at: string): Promise<string> =>
  run('git', ['-C', at, 'describe', '--always', '--abbrev=12', '--dirty', '--exclude', '*']).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );

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
