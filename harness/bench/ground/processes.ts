import { readdirSync, readFileSync } from 'node:fs';

/** CPU time and memory of processes, as the kernel counts them. Linux only: elsewhere both are null. */

/** The kernel's unit of CPU time, which it has shown to programs since ever. */
const TICK_MS = 10;
const PAGE_BYTES = 4_096;

interface Stat {
  readonly parent: number;
  /** Its own and that of its children that have ended. */
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

/** Of these processes and the living children of them, such as PostgreSQL's backends; ms since they began. */
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

/** What a process holds in memory now. */
export const residentBytesOf = (pid: number): number | null => statOf(pid)?.residentBytes ?? null;

/** Each name's CPU time while `work` is done, in ms. */
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
