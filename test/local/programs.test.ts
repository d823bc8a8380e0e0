import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../local/servers/paths.ts';
import { run } from '../../local/servers/process.ts';

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** As `npm run` runs it, with no settings at all. */
const program = (name: string, ...args: string[]) =>
  run(process.execPath, [...scripts[name]!.split(' ').slice(1), ...args], {
    timeoutMs: 60_000,
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });

test.each(['api', 'callbacks', 'worker', 'codec', 'migrate', 'sandbox', 'clean', 'scenario'])(
  '%s refuses an argument it does not know before it reads its settings or starts anything',
  async (name) => {
    const { code, stdout, stderr } = await program(name, '--dry-run');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Unknown (argument "|option ')--dry-run/);
    expect(stderr).toContain(`npm run ${name}`);
  },
);

test.each(['migrate', 'sandbox'])('%s says what it does', async (name) => {
  const { code, stdout } = await program(name, '--help');
  expect(code).toBe(0);
  expect(stdout).toContain(`npm run ${name}`);
  expect(stdout).toContain('docs/reference/settings.md');
});

test('every package is known by its hash, on every platform', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
  };
  const unknown = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && integrity === undefined);
  expect(unknown.map(([path]) => path)).toEqual([]);
});
