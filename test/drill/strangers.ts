import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The strangers of flood.ts, in a process of their own with a low priority: raw sockets and precomputed bytes, so that
 * the measurement shows the engine and not the load. Loopback only.
 */

/** Their task. Loads are per second, times in seconds. */
export interface Strangers {
  readonly port: number;
  /** Connections that send nothing, and reconnect when they are closed. */
  readonly idle: number;
  /** Connections that send a byte a second of a head, or of a body, and never end it; they reconnect too. */
  readonly slow: number;
  /** Requests, each on a connection of its own. */
  readonly refusals: number;
  readonly seconds: number;
  /** A request that is refused, as its bytes. */
  readonly request: string;
}

export interface Strange {
  /** Idle and slow connections that were closed, and reconnected. */
  closed: number;
  /** Requests whose bytes were sent. */
  sent: number;
  /** Requests that were due and not begun: too many were pending. */
  notBegun: number;
  /** By status, or by the end of the connection. */
  readonly answered: Record<string, number>;
  /** From the start of the connection to the response, in ms. */
  readonly ms: number[];
  cpuMs: number;
}

/** One address has some 28,000 ports for one server; loopback has many addresses. */
const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
const COME_BACK_MS = 1_000;
const TICK_MS = 10;
const SLOW_MS = 1_000;
const MAX_UNDER_WAY = 5_000;
const GIVE_UP_MS = 30_000;

const found: Strange = { closed: 0, sent: 0, notBegun: 0, answered: {}, ms: [], cpuMs: 0 };
let isOver = false;
const held = new Set<Socket>();
let nth = 0;

function open(port: number): Socket {
  nth += 1;
  const socket = connect({ port, host: '127.0.0.1', localAddress: ADDRESSES[nth % ADDRESSES.length] });
  return socket.on('error', () => undefined);
}

/** Sends `said`, then `more` every second unless it is empty, and reconnects when it is closed. */
function hold(port: number, said: string, more: string): void {
  if (isOver) return;
  const socket = open(port);
  held.add(socket);
  // A socket without a reader does not notice that the other side has closed.
  socket.resume();
  if (said !== '') socket.write(said);
  const drip = more === '' ? undefined : setInterval(() => socket.write(more), SLOW_MS);
  socket.once('close', () => {
    clearInterval(drip);
    held.delete(socket);
    found.closed += 1;
    setTimeout(() => hold(port, said, more), COME_BACK_MS);
  });
}

const asking = new Set<Socket>();
function refuse(port: number, request: string): void {
  if (asking.size >= MAX_UNDER_WAY) return void (found.notBegun += 1);
  const since = performance.now();
  let became = 'closed without an answer';
  let isAnswered = false;
  const socket = open(port);
  asking.add(socket);
  socket.setTimeout(GIVE_UP_MS, () => {
    became = 'given up';
    socket.destroy();
  });
  socket.once('error', ({ code }: NodeJS.ErrnoException) => {
    if (!isAnswered) became = String(code);
  });
  socket.write(request, (error) => {
    if ((error ?? null) === null) found.sent += 1;
  });
  socket.once('data', (bytes: Buffer) => {
    isAnswered = true;
    became = bytes.toString('latin1', 9, 12);
    found.ms.push(performance.now() - since);
  });
  socket.once('close', () => {
    asking.delete(socket);
    found.answered[became] = (found.answered[became] ?? 0) + 1;
  });
}

async function act({ port, idle, slow, refusals, seconds, request }: Strangers): Promise<void> {
  const [head, body] = request.split('\r\n\r\n') as [string, string];
  for (let i = 0; i < idle + slow; i += 1) {
    if (i < idle) hold(port, '', '');
    // In the middle of a header, and in the middle of a body.
    else if (i % 2 === 0) hold(port, `${head}\r\nX-Slow: `, 'x');
    else hold(port, `${head}\r\n\r\n${body.slice(0, -60)}`, ' ');
    if (i % 200 === 199) await sleep(10);
  }
  found.closed = 0;
  const cpu = process.cpuUsage();
  process.send!('opened');
  const begunAt = performance.now();
  for (let begun = 0; ; ) {
    const seen = Math.min(seconds, (performance.now() - begunAt) / 1_000);
    for (const due = Math.round(seen * refusals); begun < due; begun += 1) refuse(port, request);
    if (seen === seconds) break;
    await sleep(TICK_MS);
  }
  for (let waited = 0; asking.size > 0 && waited < GIVE_UP_MS; waited += TICK_MS) await sleep(TICK_MS);
  isOver = true;
  const { user, system } = process.cpuUsage(cpu);
  found.cpuMs = (user + system) / 1_000;
  process.send!(found, () => process.exit());
}

setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
process.once('disconnect', () => process.exit());
process.once('message', (strangers: Strangers) => void act(strangers));
