import { BlockList, isIP, SocketAddress } from 'node:net';
import os from 'node:os';

/** Which addresses belong to the public internet, by IANA's registries of special-purpose addresses. */

/** Of IPv4, everything is public but these. The last is the host of every virtual machine of Azure. */
const SPECIAL_4 = `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
  192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
  203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32`;
/** Of IPv6, only this is public. An IPv4 address in any of its IPv6 spellings is outside, or special inside. */
const GLOBAL_6 = '2000::/3';
const SPECIAL_6 = '2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20';

/** One list for each family: an IPv4 address is in an IPv6 range that contains its mapped form. */
const [special4, global6, special6] = [SPECIAL_4, GLOBAL_6, SPECIAL_6].map((ranges) => {
  const list = new BlockList();
  for (const range of ranges.trim().split(/\s+/)) {
    const [address, prefix] = range.split('/') as [string, string];
    list.addSubnet(address, Number(prefix), isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}) as [BlockList, BlockList, BlockList];

export interface IpAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Returns an address in its one spelling; null: the text is none, or has a zone. */
export function ipAddress(text: string): IpAddress | null {
  const family = isIP(text);
  if (family === 0 || text.includes('%')) return null;
  const { address } = new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' });
  return { address, family: family === 4 ? 4 : 6 };
}

/** Whether messages may go to an address: public, not denied, and none of this machine's own. */
export function isPublic({ address, family }: IpAddress, deny: BlockList): boolean {
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const isGlobal =
    family === 4 ? !special4.check(address, kind) : global6.check(address, kind) && !special6.check(address, kind);
  return isGlobal && !deny.check(address, kind) && !ownAddresses().has(address);
}

/** Read each time, because a machine's addresses change while the process runs. */
const ownAddresses = (): Set<string | undefined> =>
  new Set(
    Object.values(os.networkInterfaces())
      .flat()
      .map((own) => (own === undefined ? undefined : ipAddress(own.address)?.address)),
  );
