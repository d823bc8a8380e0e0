import { connect, createServer, type Socket } from 'node:net';
import type { Client } from '@temporalio/client';
import { afterAll, expect, vi } from 'vitest';
import { RELAY_TIMES, type RelayTimes } from '../../intake/relay/relay.ts';
import { startApi } from '../../api/start.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import type { Log } from '../../telemetry/log.ts';
import { reserve } from '../../database/queries/deposits.ts';
import type { Order } from '../../domain/order.ts';
import { startWorker } from '../../worker/start.ts';
import { reservation } from '../support/builders.ts';
import type { Answer, Engine } from '../support/engine.ts';
import { until } from '../support/until.ts';
import { type MemoryLog, memoryLog } from './evidence.ts';

/** Quick enough for a test; the order of events is that of production. */
export const QUICK_RELAY: RelayTimes = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 1_000 };

export interface ApiChange {
  readonly env?: Readonly<Record<string, string>>;
  readonly client?: Client;
  readonly relay?: RelayTimes;
  readonly log?: Log;
}

/** While `work` runs, the engine's calls go to an API of other settings beside the usual one. */
export async function withApi<T>(engine: Engine, change: ApiChange, work: () => Promise<T>): Promise<T> {
  const usual = engine.api;
  const config = loadApiConfig({
    ...engine.env,
    API_LISTEN: '127.0.0.1:0',
    CALLBACK_LISTEN: '127.0.0.1:0',
    ...change.env,
  });
  const other = await startApi(
    config,
    change.client ?? engine.client,
    change.log ?? memoryLog().log,
    change.relay ?? RELAY_TIMES,
  );
  let closing: Promise<void> | undefined;
  engine.api = { ...other, close: () => (closing ??= other.close()) };
  try {
    return await work();
  } finally {
    await engine.api.close();
    engine.api = usual;
  }
}

/** While `work` runs, an API has these limits and no second passes for them: nothing that was taken comes back. */
export async function withLimits(
  engine: Engine,
  env: Record<string, string>,
  work: () => Promise<void>,
): Promise<void> {
  const clock = vi.spyOn(performance, 'now');
  try {
    await withApi(engine, { env }, () => {
      clock.mockReturnValue(performance.now());
      return work();
    });
  } finally {
    clock.mockRestore();
  }
}

/** While `work` runs, a worker of other settings replaces the usual one. */
export async function withWorker<T>(
  engine: Engine,
  change: { readonly env?: Readonly<Record<string, string>>; readonly log?: Log },
  work: () => Promise<T>,
): Promise<T> {
  await engine.stopWorker();
  const worker = await startWorker(
    loadWorkerConfig({ ...engine.env, ...change.env }),
    {
      connectionOptions: { address: engine.temporal.address },
      namespace: engine.temporal.namespace,
      dataConverter: {},
    },
    change.log ?? memoryLog().log,
  );
  try {
    return await work();
  } finally {
    await worker.stop();
    await engine.startWorker();
  }
}

/** A connection between two parts that can be cut: then connections are reset and new ones are refused. */
export interface Line {
  readonly port: number;
  /** What the far part sends on the connections of now is lost. */
  deafen(): void;
  cut(): Promise<void>;
  mend(): Promise<void>;
}

export async function lineTo(target: { readonly host: string; readonly port: number }): Promise<Line> {
  const sockets = new Set<Socket>();
  const heard = new Map<Socket, Socket>();
  const server = createServer((near) => {
    const far = connect(target);
    heard.set(far, near);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        heard.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    deafen() {
      for (const [far, near] of heard) far.unpipe(near).resume();
    },
    cut: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
    mend: () => listen(address.port),
  };
}

/** A worker whose log can be read, for the whole file; the engine was started without one. */
export async function loggedWorker(engine: Engine, env: Readonly<Record<string, string>> = {}): Promise<MemoryLog> {
  const memory = memoryLog();
  const worker = await startWorker(
    loadWorkerConfig({ ...engine.env, ...env }),
    {
      connectionOptions: { address: engine.temporal.address },
      namespace: engine.temporal.namespace,
      dataConverter: {},
    },
    memory.log,
  );
  afterAll(() => worker.stop());
  return memory;
}

/** Replaces the engine's API by one with a readable log, at the same addresses; `between` runs while there is none. */
export async function loggedApi(
  engine: Engine,
  relay: RelayTimes = QUICK_RELAY,
  client = engine.client,
  between: () => Promise<void> = async () => undefined,
): Promise<MemoryLog> {
  const memory = memoryLog();
  await engine.api.close();
  await between();
  engine.api = await startApi(loadApiConfig(engine.env), client, memory.log, relay);
  return memory;
}

/** Retries as the provider does while the response asks for it: returns the first other response. */
export const delivered = (deliver: () => Promise<Answer>): Promise<Answer> =>
  until('an answer that does not say to come again', async () => {
    const answer = await deliver();
    return answer.status !== 503 && answer;
  });

/** The acknowledgement by default: these bytes, this type, nothing added. */
export function expectAck(answer: Answer, body = 'SUCCESS', type = 'text/plain'): void {
  expect({
    status: answer.status,
    text: answer.text,
    type: answer.headers.get('content-type'),
    length: answer.headers.get('content-length'),
    encoding: answer.headers.get('content-encoding'),
  }).toEqual({ status: 200, text: body, type, length: String(Buffer.byteLength(body)), encoding: null });
}

/** A deposit that was reserved and never started. */
export async function reserved(engine: Engine, order: Order): Promise<void> {
  const fresh = await reserve(engine.db.owner, reservation(order));
  if (!fresh) throw new Error(`${order.externalOrderNumber} stands already`);
}

/** Any method, any bytes, any address. */
export async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, redirect: 'manual' });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: text === '' ? null : JSON.parse(text) };
}
