import { readdirSync, readFileSync } from 'node:fs';

/** CPU time and memory of processes, from the kernel. Linux only: elsewhere both are null. */

/** The kernel's fixed unit of CPU time in /proc. */
const TICK_MS = 10;
const PAGE_BYTES = 4_096;

interface Stat {
  readonly parent: number;
  /** CPU time of the process and of its ended children. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

function statOf(pid: number): Stat | null {
  try {
    // The name in brackets may hold blanks; the state and the numbers follow it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ').map(Number);
    const [user, system, userOfChildren, systemOfChildren] = fields.slice(11, 15) as [number, number, number, number];
    return {
      parent: fields[1]!,
      cpuMs: (user + system + userOfChildren + systemOfChildren) * TICK_MS,
      residentBytes: fields[21]! * PAGE_BYTES,
    };
  } catch {
    return null;
  }
}

/** CPU time in ms of these processes and their live children, such as PostgreSQL's backends, since their start. */
export function cpuMsOf(pids: readonly number[]): number | null {
  if (process.platform !== 'linux') return null;
  let sum = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat !== null && (pids.includes(Number(name)) || pids.includes(stat.parent))) sum += stat.cpuMs;
  }
  return sum;
}

/** The resident memory of a process in bytes; null if it is gone. */
export const residentBytesOf = (pid: number): number | null => statOf(pid)?.residentBytes ?? null;

/** Resolves to each name's CPU time during `work`, in ms. */
export async function cpuWhile<Name extends string>(
  pids: Readonly<Record<Name, readonly number[]>>,
  work: () => Promise<unknown>,
): Promise<Record<Name, number>> {
  const now = () =>
    Object.fromEntries(
      Object.entries<readonly number[]>(pids).map(([name, some]) => [name, cpuMsOf(some) ?? Number.NaN]),
    );
  const before = now();
  await work();
  const after = now();
  return Object.fromEntries(Object.keys(before).map((name) => [name, after[name]! - before[name]!])) as Record<
    Name,
    number
  >;
}
