import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import dns from 'node:dns';
import { BlockList, isIPv4 } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type EndpointTarget, parseTarget, resolveTarget } from '../../notifications/target.ts';

const strict = { localTargets: [], deny: new BlockList() };
const parsed = (url: string, rules = strict as Parameters<typeof parseTarget>[1]) => parseTarget(url, rules);
const target = (url: string, rules = strict as Parameters<typeof parseTarget>[1]) =>
  parsed(url, rules) as EndpointTarget;

describe('an endpoint’s address', () => {
  it.each([
    ['https://hooks.example/in?key=1', 'https://hooks.example/in?key=1', 'hooks.example'],
    ['HTTPS://Hooks.Example:443', 'https://hooks.example/', 'hooks.example'],
    ['https://münchen.example/', 'https://xn--mnchen-3ya.example/', 'xn--mnchen-3ya.example'],
    ['https://8.8.8.8/', 'https://8.8.8.8/', '8.8.8.8'],
    ['https://[2606:4700::1111]/', 'https://[2606:4700::1111]/', '2606:4700::1111'],
    [`https://${'a'.repeat(63)}.example/`, `https://${'a'.repeat(63)}.example/`, `${'a'.repeat(63)}.example`],
  ])('%s is accepted', (url, href, host) => {
    expect(parsed(url)).toEqual({ href, secure: true, host, port: 443, local: false });
  });

  it.each([
    ['', 'url_invalid'],
    ['hooks.example', 'url_invalid'],
    ['https://', 'url_invalid'],
    [' https://hooks.example/', 'url_invalid'],
    ['https://hooks.example/\n', 'url_invalid'],
    ['https://hooks.\texample/', 'url_invalid'],
    ['https://hooks.example\\@10.0.0.1/', 'url_invalid'],
    ['https://hooks.example:65536/', 'url_invalid'],
    ['https://1.2.3.4.5/', 'url_invalid'],
    ['https://[fe80::1%25eth0]/', 'url_invalid'],
    [`https://hooks.example/${'x'.repeat(2_048)}`, 'url_too_long'],
    ['http://hooks.example/', 'not_https'],
    ['ftp://hooks.example/', 'not_https'],
    ['file:///etc/passwd', 'not_https'],
    ['data:text/plain,x', 'not_https'],
    ['javascript:alert(1)', 'not_https'],
    ['https://user@hooks.example/', 'url_has_login'],
    ['https://:word@hooks.example/', 'url_has_login'],
    ['https://hooks.example/#part', 'url_has_fragment'],
    ['https://hooks.example/#', 'url_has_fragment'],
    ['https://hooks.example:8443/', 'port_not_443'],
    ['https://hooks.example:80/', 'port_not_443'],
    ['https://localhost/', 'host_invalid'],
    ['https://hooks.example./', 'host_invalid'],
    ['https://hooks..example/', 'host_invalid'],
    ['https://-.example/', 'host_invalid'],
    [`https://${'a'.repeat(64)}.example/`, 'host_invalid'],
    [`https://${'a.'.repeat(124)}example/`, 'host_invalid'],
    ['https://127.0.0.1/', 'address_not_public'],
    ['https://[::1]/', 'address_not_public'],
  ])('%s is refused as %s, and its text is not in the fault', (url, fault) => {
    expect(parsed(url)).toEqual({ fault });
  });

  it('of the list of local targets is accepted at this host and port only, but not with a login', () => {
    const rules = { localTargets: ['127.0.0.1:4010', '[::1]:443', 'sandbox:80'], deny: new BlockList() };
    expect(parsed('http://127.1:4010/x', rules)).toEqual({
      href: 'http://127.0.0.1:4010/x',
      secure: false,
      host: '127.0.0.1',
      port: 4_010,
      local: true,
    });
    expect(parsed('https://[::1]/', rules)).toMatchObject({ host: '::1', local: true });
    expect(parsed('http://sandbox/', rules)).toMatchObject({ port: 80, local: true });
    expect(parsed('http://127.0.0.1:4011/', rules)).toEqual({ fault: 'not_https' });
    expect(parsed('https://127.0.0.1/', rules)).toEqual({ fault: 'address_not_public' });
    expect(parsed('https://sandbox/', rules)).toEqual({ fault: 'host_invalid' });
    expect(parsed('http://me@127.0.0.1:4010/', rules)).toEqual({ fault: 'url_has_login' });
  });
});

describe('the address of a name', () => {
  const found = (addresses: readonly string[], rules = strict) =>
    resolveTarget(target('https://hooks.example/'), rules, { lookup: () => Promise.resolve(addresses) });

  it('is its first, if all of them are public', async () => {
    expect(await found(['8.8.8.8', '2606:4700::1111'])).toEqual({ address: '8.8.8.8', family: 4 });
    expect(await found(['2606:4700:0:0::1111'])).toEqual({ address: '2606:4700::1111', family: 6 });
  });

  it.each([
    [[], 'name_not_resolved'],
    [['10.0.0.1'], 'address_not_public'],
    [['8.8.8.8', '127.0.0.1'], 'address_not_public'],
    [['8.8.8.8', '::ffff:8.8.8.8'], 'address_not_public'],
    [['8.8.8.8', 'localhost'], 'address_not_public'],
    [['fe80::1%eth0', '8.8.8.8'], 'address_not_public'],
  ])('%j is a fault: %s', async (addresses, fault) => {
    expect(await found(addresses)).toEqual({ fault });
  });

  it('is refused if the settings deny one of them', async () => {
    const deny = new BlockList();
    deny.addAddress('8.8.8.8');
    expect(await found(['1.1.1.1', '8.8.8.8'], { ...strict, deny })).toEqual({ fault: 'address_not_public' });
  });

  it('is not looked up where the host is an address, which is checked again', async () => {
    const lookup = vi.fn();
    expect(await resolveTarget(target('https://8.8.8.8/'), strict, { lookup })).toEqual({
      address: '8.8.8.8',
      family: 4,
    });
    const deny = new BlockList();
    deny.addAddress('8.8.8.8');
    expect(await resolveTarget(target('https://8.8.8.8/'), { ...strict, deny }, { lookup })).toEqual({
      fault: 'address_not_public',
    });
    expect(lookup).not.toHaveBeenCalled();
  });

  it('is waited for 3 seconds, and no longer than the caller waits', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const signals: AbortSignal[] = [];
    const never = (_: string, signal: AbortSignal) => {
      signals.push(signal);
      return new Promise<string[]>(() => {});
    };
    const late = resolveTarget(target('https://hooks.example/'), strict, { lookup: never });
    await vi.advanceTimersByTimeAsync(2_999);
    expect(signals[0]!.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await late).toEqual({ fault: 'timeout' });
    const stop = new AbortController();
    const canceled = resolveTarget(target('https://hooks.example/'), strict, { lookup: never, signal: stop.signal });
    stop.abort();
    expect(await canceled).toEqual({ fault: 'canceled' });
    expect(signals.map((signal) => signal.aborted)).toEqual([true, true]);
  });

  it('of a local target is the system’s, and may be this machine', async () => {
    const rules = { ...strict, localTargets: ['localhost:4010'] };
    const local = await resolveTarget(target('http://localhost:4010/', rules), rules);
    expect(['127.0.0.1', '::1']).toContain('address' in local ? local.address : local.fault);
  });

  it('is asked of a name server, both kinds, and the name server changes its mind', async () => {
    const answers = new Map([
      [
        'both.example',
        [
          ['8.8.8.8', '2606:4700::1'],
          ['8.8.8.8', '::1'],
        ],
      ],
      ['rebinding.example', [['8.8.8.8'], ['127.0.0.1']]],
      ['inside.example', [['10.1.2.3']]],
      ['gone.example', [[]]],
    ]);
    await nameServer((name) => answers.get(name)![0]!);
    const ask = (name: string) => resolveTarget(target(`https://${name}/`), strict);
    expect(await ask('both.example')).toEqual({ address: '8.8.8.8', family: 4 });
    expect(await ask('rebinding.example')).toEqual({ address: '8.8.8.8', family: 4 });
    expect(await ask('inside.example')).toEqual({ fault: 'address_not_public' });
    expect(await ask('gone.example')).toEqual({ fault: 'name_not_resolved' });
    for (const turns of answers.values()) turns.splice(0, turns.length - 1);
    expect(await ask('both.example')).toEqual({ fault: 'address_not_public' });
    expect(await ask('rebinding.example')).toEqual({ fault: 'address_not_public' });
  });
});

/** A name server on this machine, which resolvers of the test ask; it answers at once and with no time to live. */
async function nameServer(addressesOf: (name: string) => readonly string[]): Promise<void> {
  const server = createSocket('udp4');
  server.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    const type = query.readUInt16BE(at + 1);
    const records = addressesOf(labels.join('.').toLowerCase())
      .filter((address) => isIPv4(address) === (type === 1))
      .map((address) => record(type, isIPv4(address) ? address.split('.').map(Number) : groups(address)));
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(records.length, 6);
    head.fill(0, 8);
    server.send(Buffer.concat([head, query.subarray(12, at + 5), ...records]), from.port, from.address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const { prototype } = dns.promises.Resolver;
  const resolve4 = prototype.resolve4 as (host: string) => Promise<string[]>;
  const asked = vi.spyOn(prototype, 'resolve4').mockImplementation(async function here(
    this: dns.promises.Resolver,
    host: string,
  ) {
    this.setServers([`127.0.0.1:${server.address().port}`]);
    return resolve4.call(this, host) as never;
  });
  onTestFinished(() => {
    asked.mockRestore();
    server.close();
  });
}

const record = (type: number, bytes: readonly number[]): Buffer =>
  Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length, ...bytes]);

function groups(address: string): number[] {
  const [left, right] = address.split('::').map((half) => half.split(':').filter((text) => text !== '')) as [
    string[],
    string[],
  ];
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return all.flatMap((text) => [Number.parseInt(text, 16) >> 8, Number.parseInt(text, 16) & 0xff]);
}
