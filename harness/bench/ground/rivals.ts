import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { root } from '../../../local/servers/paths.ts';
import { freePort } from '../../../local/servers/ports.ts';
import { callbacksOf, orderOfBench } from '../load/callbacks.ts';
import { must, post } from '../load/post.ts';
import { benchProgram } from './program.ts';
import type { BenchServers } from '../servers/servers.ts';
import type { Undo } from './undo.ts';

const run = promisify(execFile);
const FILES = ['package.json', 'package-lock.json', '.npmrc', 'ground.mjs', 'state-machine.mjs', 'dbos.mjs'];

/** Installs the rivals apart from the engine's packages, only when they are measured. Resolves to their directory. */
export async function installRivals(): Promise<string> {
  const at = join(root, '.cache/bench/rivals');
  await mkdir(at, { recursive: true });
  for (const file of FILES)
    await copyFile(fileURLToPath(new URL(`../rivals/${file}`, import.meta.url)), join(at, file));
  await run('npm', ['ci', '--silent'], { cwd: at });
  return at;
}

export interface Rival {
  readonly whole: (n: string) => Promise<void>;
  readonly pids: () => Readonly<Record<'postgres' | 'rival', readonly number[]>>;
  /** Resolves to the number of credited deposits. */
  credited(): Promise<number>;
  stop(): Promise<void>;
}

const secret = () => randomBytes(32).toString('base64url');

/** Starts a rival as a process of its own, on a database of its own, with the engine's provider. */
export async function startRival(
  name: 'state-machine' | 'dbos',
  at: string,
  servers: BenchServers,
  providerUrl: string,
  undo: Undo,
): Promise<Rival> {
  const database = `rival_${name.replaceAll('-', '_')}`;
  await servers.admin((client) => client.query(`create database ${database}`));
  const port = await freePort();
  const keys = { accessKey: secret(), secretKey: secret(), callbackKey: secret() };
  const program = benchProgram(
    {
      name,
      file: join(at, `${name}.mjs`),
      cwd: at,
      env: {
        PORT: `${port}`,
        DATABASE_URL: servers.urlOf(database),
        PROVIDER_URL: providerUrl,
        ACCESS_KEY: keys.accessKey,
        SECRET_KEY: keys.secretKey,
        CALLBACK_KEY: keys.callbackKey,
      },
      ready: `${name.replaceAll('-', ' ')} ready`,
    },
    undo,
  );
  await program.start();
  const url = `http://127.0.0.1:${port}`;
  const callbackOf = callbacksOf(url, keys);
  return {
    async whole(n) {
      try {
        await must(post(`${url}/v1/deposits`, JSON.stringify(orderOfBench(n))), 201);
        const callback = callbackOf(n);
        await must(post(callback.url, callback.body), 200);
        await must(post(`${url}/ended/${n}`, ''), 200);
      } catch (error) {
        throw new Error(`${name}: ${(error as Error).message}\n${program.log().slice(-1_000)}`, { cause: error });
      }
    },
    pids: () => ({ postgres: [servers.postgres.pid], rival: [program.pid()] }),
    async credited() {
      const { text } = await must(post(`${url}/credited`, ''), 200);
      return (JSON.parse(text) as { readonly n: number }).n;
    },
    stop: () => program.end(),
  };
}
