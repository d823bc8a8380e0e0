import { randomInt } from 'node:crypto';
import { BlockList, Socket } from 'node:net';
import os from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { postOnce } from '../../notifications/post.ts';
import { parseTarget, resolveTarget } from '../../notifications/target.ts';
import { type Endpoint, listener } from './endpoints.ts';

/**
 * 10,000 endpoints that lead inside. Two things count: listeners on addresses of this machine, and every call of a
 * socket's `connect`, which also sees what would have gone to another machine.
 */
const rules = { localTargets: [], deny: new BlockList() };
const MESSAGE = { headers: {}, body: '{}' };
/** An address of loopback that no other run has. */
const OURS = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
const PRIVATE = Object.values(os.networkInterfaces())
  .flat()
  .flatMap((own) => (own === undefined || own.internal || own.family !== 'IPv4' ? [] : [own.address]));

afterEach(() => vi.restoreAllMocks());

const random = (from: number, to: number) => randomInt(from, to + 1);
const INSIDE_4: readonly (() => string)[] = [
  () => OURS,
  () => PRIVATE[0] ?? OURS,
  () => '127.0.0.1',
  () => '169.254.169.254',
  () => '168.63.129.16',
  () => '100.100.100.200',
  () => '0.0.0.0',
  () => `0.${random(0, 255)}.${random(0, 255)}.${random(0, 255)}`,
  () => `10.${random(0, 255)}.${random(0, 255)}.${random(0, 255)}`,
  () => `100.${random(64, 127)}.${random(0, 255)}.${random(0, 255)}`,
  () => `127.${random(0, 255)}.${random(0, 255)}.${random(0, 255)}`,
  () => `169.254.${random(0, 255)}.${random(0, 255)}`,
  () => `172.${random(16, 31)}.${random(0, 255)}.${random(0, 255)}`,
  () => `192.168.${random(0, 255)}.${random(0, 255)}`,
  () => `198.${random(18, 19)}.${random(0, 255)}.${random(0, 255)}`,
  () => `${random(224, 255)}.${random(0, 255)}.${random(0, 255)}.${random(0, 255)}`,
];
const hex4 = () => random(0, 65_535).toString(16);
const INSIDE_6: readonly (() => string)[] = [
  () => '::1',
  () => '::',
  () => 'fd00:ec2::254',
  () => `fc${random(16, 255).toString(16)}::${hex4()}`,
  () => `fd${random(16, 255).toString(16)}:${hex4()}::${hex4()}`,
  () => `fe80::${hex4()}`,
  () => `fec0::${hex4()}`,
  () => `ff02::${hex4()}`,
  () => `2001:db8::${hex4()}`,
  () => `2001:0:${hex4()}::${hex4()}`,
  ...['::ffff:', '::', '::ffff:0:', '64:ff9b::', '64:ff9b:1::', '2002:'].map((prefix) => () => {
    const [a, b, c, d] = one(INSIDE_4)().split('.').map(Number) as [number, number, number, number];
    const groups = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
    return prefix === '2002:' ? `2002:${groups}::1` : `${prefix}${groups}`;
  }),
];
const one = <T>(list: readonly T[]): T => list[randomInt(list.length)]!;

/** The ways to write an IPv4 address in a URL that a browser understands. */
const WIDE = (text: string) => text.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
const SPELLINGS: readonly ((address: string, bytes: readonly number[], number: number) => string)[] = [
  (address) => address,
  (_, __, number) => String(number),
  (_, __, number) => `0x${number.toString(16)}`,
  (_, __, number) => `0${number.toString(8)}`,
  (_, bytes) => bytes.map((byte) => `0x${byte.toString(16)}`).join('.'),
  (_, bytes) => bytes.map((byte) => `0${byte.toString(8)}`).join('.'),
  (_, bytes) => bytes.map((byte) => `0000${byte.toString(8)}`).join('.'),
  (_, [a, b, c, d]) => `${a}.${b}.${(c! << 8) | d!}`,
  (_, [a, b, c, d]) => `${a}.${(b! << 16) | (c! << 8) | d!}`,
  (_, [a, b, c, d]) => `0x${a!.toString(16)}.${b}.0${((c! << 8) | d!).toString(8)}`,
  (address) => WIDE(address),
  (address) => address.replaceAll('.', '。'),
  (address) => WIDE(address).replaceAll('.', '．'),
  (address) => `${address}.`,
  (address) => address.replaceAll(/\d/g, '%3$&'),
];
function spelled(address: string): string {
  const bytes = address.split('.').map(Number);
  return one(SPELLINGS)(address, bytes, Number(BigInt(`0x${Buffer.from(bytes).toString('hex')}`)));
}

const NAMES = [
  'localhost',
  'db',
  'metadata.google.internal',
  'inside.example',
  'app.localhost',
  'kubernetes.default.svc',
];
const host = () => one([() => spelled(one(INSIDE_4)()), () => `[${one(INSIDE_6)()}]`, () => one(NAMES)])();
/** Others may be those of servers that an earlier file of this process still calls. */
const PORTS = [443, 80, 8_080, 5_432, 7_233, 22, 0, 65_535];
const URLS: readonly (() => string)[] = [
  () => `https://${host()}/`,
  () => `https://${host()}/`,
  () => `https://${host()}/`,
  () => `https://${host()}:443/hook?x=1`,
  () => `https://${host()}:${one(PORTS)}/`,
  () => `http://${host()}/`,
  () => `https://hooks.example@${host()}/`,
  () => `https://hooks.example:443@${host()}/`,
  () => `https://${host()}#@hooks.example/`,
  () => `https://${host()}\\@hooks.example/`,
  () => `https:${host()}`,
  () => `https:\\\\${host()}\\`,
  () => `https:///${host()}/`,
  () => ` https://${host()}/`,
  () => `https://\t${host()}\n/`,
  () => `https://[${one(INSIDE_6)()}%25eth0]/`,
  () => `https://[::ffff:${one(INSIDE_4)()}]/`,
  () => `https://[::${one(INSIDE_4)()}]/`,
  () => `https://${one(INSIDE_4)()}.nip.example/`,
  () => `${one(['gopher', 'file', 'ftp', 'ws', 'wss', 'unix', 'data'])}://${host()}/`,
  () => `//${host()}/`,
];

/** Addresses a hostile name server gives: inside, or something public with something inside. */
const inside = () => one([...INSIDE_4, ...INSIDE_6])();
const ANSWERS: readonly (() => string[])[] = [
  () => [inside()],
  () => [inside(), '8.8.8.8'],
  () => ['8.8.8.8', inside()],
  () => ['8.8.8.8', '2606:4700::1111', '1.1.1.1', inside()],
  () => [`::ffff:${one(INSIDE_4)()}`],
  () => [`fe80::1%eth0`],
];

interface Counted<T> {
  readonly result: T;
  /** Connections that the listeners accepted. */
  readonly connections: number;
  /** The port of each call of `connect`. */
  readonly calls: readonly number[];
}

async function counted<T>(work: () => Promise<T>): Promise<Counted<T>> {
  const places: [string, number][] = [OURS, ...PRIVATE.slice(0, 1), '::1'].flatMap((address) =>
    [443, 80, 8_080].map((port): [string, number] => [address, port]),
  );
  const listeners: Endpoint[] = [];
  for (const [address, port] of places) {
    // Without the right to a low port, or where another program listens, the calls of `connect` count alone.
    const opened = await listener(address, port).catch(() => null);
    if (opened !== null) listeners.push(opened);
  }
  const connect = vi.spyOn(Socket.prototype, 'connect');
  const result = await work();
  const calls = (connect.mock.calls as unknown[][]).map(
    ([first]) => (Array.isArray(first) ? first[0] : first).port as number,
  );
  connect.mockRestore();
  for (const { close } of listeners) await close();
  return { result, calls, connections: listeners.reduce((sum, { connections }) => sum + connections(), 0) };
}

describe('T31: of an endpoint that leads inside', () => {
  it('10,000 spellings and names open no connection', async () => {
    const urls = Array.from({ length: 10_000 }, (_, at) => URLS[at % URLS.length]!());
    const { result, calls, connections } = await counted(async () => {
      const faults = new Map<string, number>();
      for (const url of urls) {
        const target = parseTarget(url, rules);
        const outcome =
          'fault' in target
            ? target
            : await postOnce(target, MESSAGE, { rules, lookup: () => Promise.resolve(one(ANSWERS)()) });
        expect('fault' in outcome ? url : `${url} was answered`).toBe(url);
        const { fault } = outcome as { fault: string };
        faults.set(fault, (faults.get(fault) ?? 0) + 1);
      }
      return faults;
    });
    expect([calls.filter((port) => PORTS.includes(port)), connections]).toEqual([[], 0]);
    // Each rule had its part in it.
    for (const fault of [
      'address_not_public',
      'host_invalid',
      'not_https',
      'port_not_443',
      'url_has_login',
      'url_invalid',
    ])
      expect([fault, (result.get(fault) ?? 0) > 100]).toEqual([fault, true]);
  });

  it('a name that was public when the endpoint was made opens none', async () => {
    const { calls, connections } = await counted(async () => {
      for (let at = 0; at < 500; at += 1) {
        const target = parseTarget('https://rebinding.example/', rules);
        if ('fault' in target) throw new Error(target.fault);
        const answers = [['8.8.8.8'], one(ANSWERS)()];
        const lookup = vi.fn(() => Promise.resolve(answers.shift()!));
        expect(await resolveTarget(target, rules, { lookup })).toEqual({ address: '8.8.8.8', family: 4 });
        expect(await postOnce(target, MESSAGE, { rules, lookup })).toMatchObject({ fault: 'address_not_public' });
      }
    });
    expect([calls.filter((port) => PORTS.includes(port)), connections]).toEqual([[], 0]);
  });

  it('a connection is counted if there is one: for a local target', async () => {
    const { calls, connections, result } = await counted(async () => {
      const open = await listener(OURS, 0);
      const lenient = { ...rules, localTargets: [`${OURS}:${open.port}`] };
      const target = parseTarget(`https://${OURS}:${open.port}/`, lenient);
      if ('fault' in target) throw new Error(target.fault);
      await postOnce(target, MESSAGE, { rules: lenient, deadlineMs: 100 });
      return open;
    });
    expect([calls.filter((port) => port === result.port), result.connections(), connections]).toEqual([
      [result.port],
      1,
      0,
    ]);
  });
});
