import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freePort } from '../../local/servers/ports.ts';
import { end, send } from '../../local/servers/process.ts';
import { root } from '../../local/servers/paths.ts';
import { until } from '../support/until.ts';
import { makeDataDirectory } from './support.ts';

/** docs/start/integrate.md as a newcomer goes through it: a fresh clone, four terminals, every block in order. */
const PAGE = readFileSync(join(root, 'docs/start/integrate.md'), 'utf8');

interface Block {
  /** The comment before it: the terminal, and what it waits for. */
  readonly where: string;
  readonly language: string;
  readonly text: string;
}
const BLOCKS: readonly Block[] = [...PAGE.matchAll(/(?:^<!-- (.*) -->\n\n)?^```(\w+)\n([^]*?)^```$/gm)].map(
  ([, where = '', language, text]) => ({ where, language: language!, text: text! }),
);

/** A shell that keeps its variables and its folder, like a person's. */
interface Terminal {
  readonly shell: ChildProcess;
  said: string;
}
const terminals = new Map<string, Terminal>();
const data = makeDataDirectory(afterAll);
const clone = join(dirname(data), 'deposit-engine');
afterAll(async () => {
  for (const { shell } of [...terminals.values()].toReversed()) {
    shell.stdin!.end();
    send(-shell.pid!, 'SIGTERM');
  }
  // Its shell and npm end before the stack has stopped.
  const { said } = terminals.get('1') ?? { said: '' };
  if (said.includes('✓')) await until('the end of the stack', () => terminals.get('1')!.said.includes('Stopped;'));
  for (const { shell } of terminals.values())
    await end(shell.pid!, { signal: 'SIGTERM', timeoutMs: 5_000, group: true });
});

function terminal(number: string): Terminal {
  const known = terminals.get(number);
  if (known !== undefined) return known;
  const foreign = /^(TEST_|VITEST|DATABASE_URL|TEMPORAL_ADDRESS|MTPAY_|NODE_ENV$|npm_)/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const shell = spawn('bash', ['-e'], { cwd: clone, env, detached: true });
  const made: Terminal = { shell, said: '' };
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (text: Buffer) => (made.said += String(text)));
  terminals.set(number, made);
  return made;
}

/** Types a block; resolves when it is done, or says what it is to say and goes on. */
async function type({ where, text }: Block): Promise<void> {
  const [, number, ready = `done ${Math.random()}`] = /^terminal (\d)(?:, until: (.*))?$/.exec(where)!;
  const used = terminal(number!);
  used.shell.stdin!.write(where.includes('until') ? text : `${text}echo; echo ${ready}\n`);
  await until(text, () => {
    if (used.shell.exitCode !== null) throw new Error(`${text}\nfailed:\n${used.said}`);
    return used.said.includes(ready);
  });
}

test('every block of the tutorial does what the page says', async () => {
  // The files of the repository, in a folder of their own; packages and Temporal are there already.
  const files = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  for (const file of files.split('\0').filter((name) => name !== '' && !/^(test|docs|harness)\//.test(name))) {
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    cpSync(join(root, file), join(clone, file));
  }
  for (const name of ['node_modules', '.cache']) symlinkSync(join(root, name), join(clone, name));
  mkdirSync(data);
  symlinkSync(data, join(clone, '.data'));
  const port = String(await freePort());

  expect(BLOCKS.length).toBeGreaterThan(9);
  for (const block of BLOCKS) {
    const secret = /whsec_[\w+/]+=*/.exec(terminals.get('2')?.said ?? '')?.[0] ?? 'whsec_';
    const text = block.text.replace('npm ci && ', '').replaceAll('4000', port);
    const [, file] = /^\/\/ (\w+\.mjs)$/m.exec(text) ?? [];
    if (block.language === 'js') writeFileSync(join(dirname(clone), 'my-shop', file!), text);
    else if (block.language === 'sh') await type({ ...block, text: text.replace('whsec_…', secret) });
    else {
      // … stands for what differs each time.
      const wanted = text
        .trimEnd()
        .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
        .replaceAll('…', '.+');
      const used = terminals.get(/^terminal (\d) says$/.exec(block.where)![1]!)!;
      await until(
        text,
        () => new RegExp(wanted).test(used.said),
        undefined,
        () => `; it said ${used.said}`,
      );
    }
  }
  expect(terminals.size).toBe(4);
});
