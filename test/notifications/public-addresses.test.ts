import { BlockList } from 'node:net';
import os from 'node:os';
import { randomBytes } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ipAddress, isPublic } from '../../notifications/public-addresses.ts';

const none = new BlockList();
afterEach(() => vi.restoreAllMocks());
const allowed = (text: string, deny = none) => {
  const address = ipAddress(text);
  return address !== null && isPublic(address, deny);
};

describe('an address is public', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.15.255.255',
    '172.32.0.0',
    '100.128.0.0',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00::1',
  ])('%s', (text) => expect(allowed(text)).toBe(true));
});

describe('an address is not public', () => {
  it.each([
    ['0.0.0.0', 'this host'],
    ['0.255.255.255', 'this network'],
    ['10.0.0.1', 'private'],
    ['100.64.0.1', 'shared by a carrier'],
    ['100.100.100.200', 'metadata of a cloud'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'metadata of a cloud'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['168.63.129.16', 'the host of a cloud, though its range is public'],
    ['192.0.0.192', 'metadata of a cloud'],
    ['192.168.1.1', 'private'],
    ['198.18.0.1', 'benchmarks'],
    ['224.0.0.1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'none'],
    ['::1', 'loopback'],
    ['::7f00:1', 'IPv4-compatible'],
    ['::8.8.8.8', 'IPv4-compatible'],
    ['::ffff:127.0.0.1', 'IPv4-mapped'],
    ['::ffff:8.8.8.8', 'IPv4-mapped'],
    ['::ffff:0:127.0.0.1', 'IPv4-translated'],
    ['64:ff9b::7f00:1', 'NAT64'],
    ['64:ff9b:1::a00:1', 'NAT64 of a network'],
    ['2002:7f00:1::', '6to4'],
    ['2001:0:7f00:1::', 'Teredo'],
    ['2001:db8::1', 'documentation'],
    ['3fff::1', 'documentation'],
    ['fc00::1', 'unique local'],
    ['fd00:ec2::254', 'metadata of a cloud'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'with a zone'],
    ['2606:4700::1111%1', 'with a zone'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
    ['100::1', 'discard'],
    ['5f00::1', 'segment routing'],
    ['4000::1', 'not assigned'],
    ['8.8.8', 'no address'],
    ['', 'no address'],
  ])('%s: %s', (text) => expect(allowed(text)).toBe(false));

  it('if the settings deny it, in any spelling', () => {
    const deny = new BlockList();
    deny.addSubnet('8.8.8.0', 24, 'ipv4');
    deny.addSubnet('2606:4700::', 32, 'ipv6');
    expect(['8.8.8.8', '2606:4700:0:0::1', '8.8.9.8', '2606:4701::1'].map((text) => allowed(text, deny))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
});

/** The list of another author: he may call public what is refused here, and never the other way. */
it('no address is public that ipaddr.js calls special, among 10,000 and the ends of every range', () => {
  const spans = [ipaddr.IPv4, ipaddr.IPv6].flatMap(({ prototype }) =>
    Object.values((prototype as unknown as { SpecialRanges: Record<string, Span | Span[]> }).SpecialRanges).flatMap(
      (value) => (Array.isArray(value[0]) ? (value as Span[]) : [value as Span]),
    ),
  );
  expect(spans.length).toBeGreaterThan(40);
  const ends = spans.flatMap(([first, prefix]) => endsOf(first.toByteArray(), prefix));
  const random = Array.from({ length: 5_000 }, () => [
    [...randomBytes(4)],
    [0x20 + (randomBytes(1)[0]! & 0x1f), ...randomBytes(15)],
  ]).flat();
  const texts = [...ends, ...random].map((bytes) => ipaddr.fromByteArray(bytes).toString());
  vi.spyOn(os, 'networkInterfaces').mockReturnValue({});
  const open = texts.filter((text) => allowed(text));
  expect(open.filter((text) => ipaddr.parse(text).range() !== 'unicast')).toEqual([]);
  expect(open.length).toBeGreaterThan(5_000);
});

type Span = readonly [first: ipaddr.IPv4 | ipaddr.IPv6, prefix: number];
function endsOf(first: readonly number[], prefix: number): number[][] {
  const last = first.map((byte, at) => byte | (0xff >> Math.min(Math.max(prefix - at * 8, 0), 8)));
  return [[...first], last];
}

it('this machine’s own addresses are not public, as they are at the moment', () => {
  const own = (address: string, family: 'IPv4' | 'IPv6') =>
    ({ address, family, netmask: '', mac: '', internal: false, cidr: null, scopeid: 0 }) as os.NetworkInterfaceInfo;
  const addresses = ['8.8.4.4', '2606:4700::1'];
  expect(addresses.map((text) => allowed(text))).toEqual([true, true]);
  vi.spyOn(os, 'networkInterfaces').mockReturnValue({
    eth0: [own('8.8.4.4', 'IPv4'), own('2606:4700:0::1', 'IPv6'), own('fe80::1%eth0', 'IPv6')],
  });
  expect(addresses.map((text) => allowed(text))).toEqual([false, false]);
});
