import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../local/servers/paths.ts';
import { startOf } from '../support/programs.ts';

test('a command whose output nobody reads any more ends as it would have, without a complaint', async () => {
  const child = spawn(process.execPath, startOf('commands/seal-key.ts'), { cwd: root });
  child.stdout.destroy();
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  expect({ code, complaint }).toEqual({ code: 0, complaint: '' });
});

test('every program that writes lines takes it like that', () => {
  const programs = ['audit', 'commands', 'local', 'worker'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  const sources = programs.filter((path) => path.endsWith('.ts'));
  const writing = sources.filter((path) => /console\.log\(/.test(readFileSync(join(root, path), 'utf8')));
  expect(writing.length).toBeGreaterThan(6);
  for (const path of writing)
    expect(readFileSync(join(root, path), 'utf8'), path).toMatch(/^import '(\.\.\/)+config\/broken-pipe\.ts';$/m);
});
