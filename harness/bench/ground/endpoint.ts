import { join } from 'node:path';
import { freePort } from '../../../local/servers/ports.ts';
import { must, post } from '../load/post.ts';
import type { Built } from './build.ts';
import { benchProgram } from './program.ts';
import type { BenchServers } from '../servers/servers.ts';
import type { Undo } from './undo.ts';

/** The default number of connections that an API process has for callbacks. */
const CONNECTIONS = 8;

export interface BareEndpoint {
  /** Resolves when the row is committed and the response has arrived. */
  send(externalOrderNumber: string, body: string): Promise<void>;
}

/** Starts Express with one INSERT, as a process of its own with a database of its own on the same server. */
export async function startEndpoint(servers: BenchServers, built: Built, undo: Undo): Promise<BareEndpoint> {
  const port = await freePort();
  await servers.admin((client) => client.query('create database bare'));
  const program = benchProgram(
    {
      name: 'bare endpoint',
      file: join(built.floors, 'endpoint.mjs'),
      args: [`${port}`, `${CONNECTIONS}`],
      cwd: built.floors,
      env: { DATABASE_URL: servers.urlOf('bare') },
      ready: 'endpoint ready',
    },
    undo,
  );
  await program.start();
  return {
    async send(externalOrderNumber, body) {
      await must(post(`http://127.0.0.1:${port}/callbacks/${externalOrderNumber}`, body), 200);
    },
  };
}
