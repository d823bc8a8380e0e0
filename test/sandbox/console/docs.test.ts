import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parametersOf } from '../../../sandbox/console/pages/fault-form.ts';
import { FAULT_CATALOGUE } from '../../../sandbox/faults/faults.ts';
import { SCENARIOS } from '../../../sandbox/faults/scenarios.ts';
import { settingsSchema } from '../../../sandbox/settings.ts';
import { ACCESS_KEY, CONTROL_TOKEN, createDatabase, SECRET_KEY, start } from '../support.ts';

const run = promisify(execFile);
const read = (path: string): Promise<string> => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** The table of docs/start/sandbox.md between its marks. */
function faultTable(): string {
  const rows = FAULT_CATALOGUE.map((entry) => {
    const params = parametersOf(entry).map(([name, property, isRequired]) => {
      const range = property.enum === undefined ? '' : ` one of ${property.enum.join(', ')}`;
      if (isRequired) return `\`${name}\`${range}, required`;
      return property.default === undefined
        ? `\`${name}\`${range}`
        : `\`${name}\`${range}, default \`${JSON.stringify(property.default)}\``;
    });
    return `| \`${entry.kind}\` | ${entry.moment} | ${entry.description} | ${params.join('; ')} |`;
  });
  return ['| kind | acts at | what happens | parameters |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const unpadded = (table: string) => table.replaceAll(/ *\| */g, '|').replaceAll(/-{3,}/g, '---');

test('the table of misbehaviour is the catalogue', async () => {
  const [, table] =
    /<!-- faults: begin -->\n\n?(.*?)\n\n?<!-- faults: end -->/s.exec(await read('docs/start/sandbox.md')) ?? [];
  // When it fails, the message holds the new text; the formatter pads the columns.
  expect(unpadded(table ?? '')).toBe(unpadded(faultTable()));
});

test('the table of scenarios is the list', async () => {
  const [, table] =
    /<!-- scenarios: begin -->\n\n?(.*?)\n\n?<!-- scenarios: end -->/s.exec(await read('docs/start/sandbox.md')) ?? [];
  const rows = SCENARIOS.map(
    ({ name, description, faults }) =>
      `| \`${name}\` | ${description} | ${faults.map(({ kind }) => `\`${kind}\``).join(', ')} |`,
  );
  const expected = ['| name | what happens | made of |', '| --- | --- | --- |', ...rows].join('\n');
  expect(unpadded(table ?? '')).toBe(unpadded(expected));
});

test('every setting and every variable is told of', async () => {
  const text = await read('docs/start/sandbox.md');
  const variables = new Set((await read('sandbox/config.ts')).match(/SANDBOX_[A-Z_]+/g));
  const names = [...Object.keys(settingsSchema.shape), ...variables];
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test('the commands work as they are written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-docs-'));
  const sandbox = await start(await createDatabase(), {
    SANDBOX_TLS: 'on',
    SANDBOX_TLS_DIRECTORY: join(folder, 'tls'),
    SANDBOX_ALLOW_PLAIN_HTTP: 'none',
  });
  const commands = [...(await read('docs/start/sandbox.md')).matchAll(/^```sh\n(.*?)^```$/gms)].map(
    ([, block]) => block!,
  );
  expect(commands).toHaveLength(6);
  // The receiver in the background goes when the shell does.
  const script = `set -eu\ntrap 'kill $!' EXIT\n${commands.join('\necho\n')}`;
  const env = {
    ...process.env,
    SANDBOX: sandbox.url,
    CURL_CA_BUNDLE: sandbox.caFile!,
    ACCESS_KEY,
    SECRET_KEY,
    CONTROL_TOKEN,
  };
  try {
    const { stdout } = await run('bash', ['-c', script], { cwd: folder, env, timeout: 30_000 });
    expect(stdout).toContain('"statusCode":"SUCCESS"');
    expect(stdout).toContain('"state":"RELEASED"');
    expect(stdout).toContain('the callback is signed with our key');
    expect(stdout).toContain('"kind":"cut"');
    expect(stdout).toMatch(/^first-1,AT\w{15},/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});
