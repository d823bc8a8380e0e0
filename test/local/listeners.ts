import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** One socket that waits for connections. */
export interface Listener {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
}

/** Whether this machine shows the owners of listeners. */
export const knowsListeners = existsSync('/proc/net/tcp');

/** Every TCP listener of the processes and of all that they have started. */
export function listenersOf(pids: readonly number[]): Listener[] {
  const family = withChildren(pids);
  const sockets = new Map<string, number>();
  for (const pid of family) {
    for (const inode of socketsOf(pid)) sockets.set(inode, pid);
  }
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(1)
      .flatMap((line) => {
        const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
        const pid = sockets.get(inode);
        return state === '0A' && pid !== undefined ? [{ pid, ...placeOf(local) }] : [];
      }),
  );
}

function withChildren(pids: readonly number[]): number[] {
  const parents = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [[Number(name), parentOf(name)]] : []));
  const family = new Set(pids);
  for (let size = -1; size !== family.size; ) {
    size = family.size;
    for (const [pid = 0, parent = 0] of parents) if (family.has(parent)) family.add(pid);
  }
  return [...family];
}

function parentOf(pid: string): number {
  const stat = readable(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readable(() => readdirSync(folder), []).flatMap((fd) => {
    // A descriptor that was only open for the list is gone.
    const inode = /^socket:\[(\d+)\]$/.exec(readable(() => readlinkSync(`${folder}/${fd}`), ''))?.[1];
    return inode === undefined ? [] : [inode];
  });
}

/** Processes and their descriptors come and go. */
function readable<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** The kernel writes an IPv4 address as one little-endian number; of IPv6 only the fact matters here. */
function placeOf(local: string): { host: string; port: number } {
  const [address = '', port = ''] = local.split(':');
  const bytes = address.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
  const host = bytes.length === 4 ? bytes.toReversed().join('.') : `IPv6 ${address}`;
  return { host, port: Number.parseInt(port, 16) };
}
