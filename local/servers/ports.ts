/** Finds free loopback ports, and a block of ports for each clone so that two clones do not meet. */

import { createHash, randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below the range from which Linux (32768) and macOS (49152) give ports to outgoing connections. */
const FIRST_PORT = 20_000;
const BLOCK_SIZE = 10;
const BLOCKS = 1_200;
const MOST_TRIES = 1_000;

/** Returns why no server can listen on this address and port now; null when one can. */
export function whyNotListen(port: number, host: string): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/** Whether a server could listen on the port of a loopback address of this machine now. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return (await whyNotListen(port, host)) === null;
}

/**
 * Returns a port on which nothing listens, and which is given to no outgoing connection. Another program may still take it
 * first, so callers retry.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const port = randomInt(FIRST_PORT, FIRST_PORT + BLOCKS * BLOCK_SIZE);
    if (await isPortFree(port)) return port;
  }
  throw new Error(`no free port in ${MOST_TRIES} tries`);
}

/** The wished port when it is free, otherwise any free one. */
export async function freePortNear(wished: number | undefined): Promise<number> {
  return wished !== undefined && (await isPortFree(wished)) ? wished : freePort();
}

/**
 * Returns neighboring free ports for a clone. A hash of the clone's path selects the block, so a stopped clone finds
 * its ports again: another clone starts its search elsewhere.
 */
export async function portsFor(directory: string, count: number): Promise<number[]> {
  if (count > BLOCK_SIZE) throw new RangeError(`a clone has at most ${BLOCK_SIZE} ports, ${count} were asked for`);
  const start = createHash('sha256').update(directory).digest().readUInt32BE() % BLOCKS;
  for (let i = 0; i < BLOCKS; i += 1) {
    const first = FIRST_PORT + ((start + i) % BLOCKS) * BLOCK_SIZE;
    const ports = Array.from({ length: count }, (_, offset) => first + offset);
    const free = await Promise.all(ports.map((port) => isPortFree(port)));
    if (free.every(Boolean)) return ports;
  }
  throw new Error(`no ${count} neighbouring free ports between ${FIRST_PORT} and ${FIRST_PORT + BLOCKS * BLOCK_SIZE}`);
}
