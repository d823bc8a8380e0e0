import { isIPv6 } from 'node:net';

export interface Rate {
  /** Tokens a second. */
  readonly perSecond: number;
  /** Tokens in a full bucket, which may be taken at once. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** What a caller is told of its bucket. */
export interface Allowance {
  /** Requests that a full bucket allows at once. */
  readonly limit: number;
  readonly remaining: number;
  /** Seconds until it is full again. */
  readonly resetSeconds: number;
}

/** Token buckets by name, in this process only; the least recently used are forgotten beyond `capacity`. */
export interface Buckets {
  /** Takes a token and returns 0, or returns the seconds until there is one. */
  take(name: string): number;
  /** The same without taking it. */
  wait(name: string): number;
  allowance(name: string): Allowance;
  has(name: string): boolean;
  forget(name: string): void;
  readonly size: number;
}

/** A forgotten bucket counts as full. So the capacity bounds memory, and a flood of names causes only evictions. */
export function createBuckets(rate: Rate, capacity: number, now: () => number = () => performance.now()): Buckets {
  const buckets = new Map<string, Bucket>();

  const refilled = (name: string): Bucket => {
    const at = now();
    const { tokens, at: before } = buckets.get(name) ?? { tokens: rate.burst, at };
    return { tokens: Math.min(rate.burst, tokens + ((at - before) / 1_000) * rate.perSecond), at };
  };
  const waitOf = ({ tokens }: Bucket) => (tokens >= 1 ? 0 : (1 - tokens) / rate.perSecond);

  return {
    take(name) {
      const bucket = refilled(name);
      const wait = waitOf(bucket);
      if (wait === 0) bucket.tokens -= 1;
      // Last in the order of insertion is the most recently used.
      buckets.delete(name);
      buckets.set(name, bucket);
      if (buckets.size > capacity) buckets.delete(buckets.keys().next().value!);
      return wait;
    },
    wait: (name) => waitOf(refilled(name)),
    allowance(name) {
      const { tokens } = refilled(name);
      const resetSeconds = Math.ceil((rate.burst - tokens) / rate.perSecond);
      return { limit: rate.burst, remaining: Math.floor(tokens), resetSeconds };
    },
    has: (name) => buckets.has(name),
    forget: (name) => void buckets.delete(name),
    get size() {
      return buckets.size;
    },
  };
}

/** The name that failures count against: the address, or for IPv6 the /64 that one subscriber owns. */
export function remoteName(address: string | undefined): string {
  if (address === undefined) return 'gone';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const whole = [...groups, ...Array<string>(missing).fill('0'), ...(tail ?? '').split(':')];
  return `${whole
    .slice(0, 4)
    .map((group) => parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
