import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { openProgress } from '../../../audit/run/progress.ts';

const out = await mkdtemp(join(tmpdir(), 'deposit-progress-'));
afterAll(() => rm(out, { recursive: true, force: true }));
const key = () => generateKeyPairSync('ed25519').privateKey;
const state = new ReportBuilder().state();

test('what is finished is known again by its key alone, for its own part, and as it was written', async () => {
  const own = key();
  const progress = await openProgress(out, ['scope'], false, own);
  await progress.keep([1, 2], state);
  const again = await openProgress(out, ['scope'], false, own);
  expect(await again.finished([1, 2])).toEqual(JSON.parse(JSON.stringify(state)));
  expect(await (await openProgress(out, ['scope'], false, key())).finished([1, 2])).toBeNull();
  expect(await (await openProgress(out, ['scope'], false, null)).finished([1, 2])).toBeNull();

  const [folder] = await readdir(join(out, '.progress'));
  const file = (name: string) => join(out, '.progress', folder!, name);
  const text = await readFile(file('1-2.json'), 'utf8');
  await writeFile(file('3-4.json'), text);
  await writeFile(file('1-2.json'), text.replace('{', '{ '));
  expect(await again.finished([3, 4])).toBeNull();
  expect(await again.finished([1, 2])).toBeNull();
  await writeFile(file('1-2.json'), text.slice(65));
  expect(await again.finished([1, 2])).toBeNull();
});
