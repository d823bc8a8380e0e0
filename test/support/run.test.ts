import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cacheDirectory, root } from '../../local/servers/paths.ts';

let folder: string;
beforeAll(async () => {
  // In the repository: the fixtures import Vitest.
  folder = await mkdtemp(join(cacheDirectory, 'test-run-'));
  const summary = join(root, 'test/support/plain-summary.ts');
  await writeFile(
    join(folder, 'vitest.config.ts'),
    `export default { test: { isolate: false, pool: 'forks', reporters: ['default', ${JSON.stringify(summary)}] } };`,
  );
  const fixture = (name: string, body: string) =>
    writeFile(
      join(folder, `${name}.test.ts`),
      `import { existsSync, writeFileSync } from 'node:fs';
       import { expect, test } from 'vitest';
       test('holds', () => {});
       test('is tried', () => { ${body} });`,
    );
  await fixture(
    'starved',
    `const seen = new URL('seen', import.meta.url);
       if (!existsSync(seen)) { writeFileSync(seen, ''); expect('late').toBe('in time'); }`,
  );
  await fixture('broken', 'expect(1).toBe(2);');
  await writeFile(
    join(folder, 'unloadable.test.ts'),
    `import { existsSync, writeFileSync } from 'node:fs';
     import { test } from 'vitest';
     const seen = new URL('seen', import.meta.url);
     if (!existsSync(seen)) { writeFileSync(seen, ''); throw new Error('no port was free'); }
     test('holds', () => {});`,
  );
  // Each fails; in the second run it would pass, but for this.
  const otherwise = (name: string, then: string) =>
    fixture(
      name,
      `const seen = new URL('seen-${name}', import.meta.url);
       if (!existsSync(seen)) { writeFileSync(seen, ''); expect(1).toBe(2); }
       ${then}`,
    );
  await otherwise('rejects', `void Promise.reject(new Error('unhandled'));`);
  await otherwise('dies', `process.kill(process.pid, 'SIGKILL');`);
  await writeFile(
    join(folder, 'shrinks.test.ts'),
    `import { existsSync, writeFileSync } from 'node:fs';
     import { expect, test } from 'vitest';
     const seen = new URL('seen-shrinks', import.meta.url);
     const isSecond = existsSync(seen);
     writeFileSync(seen, '');
     test('holds', () => {});
     test.skipIf(isSecond)('fails', () => expect(1).toBe(2));`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(files: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: unknown; lines: string[] }> {
  await rm(join(folder, 'seen'), { force: true });
  const args = ['--import', 'tsx', join(root, 'test/support/run.ts'), '--root', folder, ...files];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, env: { ...process.env, NO_COLOR: '1', ...env } }, (error, stdout) =>
      resolve({ code: error?.code ?? 0, lines: stdout.trim().split('\n') }),
    );
  });
}

test('on a CI a failed file runs again, and the summary names the case that passed only then', async () => {
  const { code, lines } = await run(['starved'], { CI: '1' });
  expect(lines.slice(-4)).toEqual([
    'Passed in the second run only: 1',
    expect.stringMatching(/^ {2}starved\.test\.ts: is tried: expected 'late' to be 'in time'/),
    '',
    '2 passed, 0 failed, 0 skipped',
  ]);
  expect(code).toBe(0);
});

test('and a file that could be loaded only then', async () => {
  const { code, lines } = await run(['unloadable'], { CI: '1' });
  expect(lines.slice(-3)).toEqual(['  unloadable.test.ts: no port was free', '', '1 passed, 0 failed, 0 skipped']);
  expect(code).toBe(0);
});

test('a file that fails twice is a failure, and so is one that fails locally', async () => {
  const twice = await run(['broken', 'starved'], { CI: '1' });
  expect(twice).toMatchObject({ code: 1 });
  expect(twice.lines.at(-1)).toBe('3 passed, 1 failed, 0 skipped');
  const locally = await run(['starved'], { CI: undefined });
  expect(locally).toMatchObject({ code: 1 });
  expect(locally.lines.at(-1)).toBe('1 passed, 1 failed, 0 skipped');
});

test.each([
  ['has an unhandled error', 'rejects'],
  ['kills its process', 'dies'],
  ['lacks the case that failed', 'shrinks'],
])('a second run that %s is a failure', async (_, file) => {
  expect(await run([file], { CI: '1' })).toMatchObject({ code: 1 });
});

test('a run without any test is a failure', async () => {
  expect(await run(['nosuch'], { CI: '1' })).toMatchObject({ code: 1 });
});
