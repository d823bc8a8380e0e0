import { lookup as lookupLocally, Resolver } from 'node:dns/promises';
import type { TargetRules } from '../config/settings/notifications.ts';
import { type IpAddress, ipAddress, isPublic } from './public-addresses.ts';

/** Guards against requests to our own network (docs/internals/threat-model.md): where a message may be posted. */

/** An endpoint's address that has passed the rules about its text. */
export interface EndpointTarget {
  /** The address as it is stored. Its path and query may be secret. */
  readonly href: string;
  readonly secure: boolean;
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Exempt from the rules about addresses, by the setting. */
  readonly local: boolean;
}

/** Why an endpoint's address is refused. */
export type UrlFault =
  | 'url_invalid'
  | 'url_too_long'
  | 'url_has_login'
  | 'url_has_fragment'
  | 'not_https'
  | 'port_not_443'
  | 'host_invalid'
  | 'address_not_public';
export interface TargetFault {
  readonly fault: UrlFault;
}

/** Why a host has no address to post to. Only `address_not_public` is a refusal; the others may pass. */
export type ResolveFault = 'address_not_public' | 'name_not_resolved' | 'timeout' | 'canceled';

const MAX_URL = 2_048;
const MAX_HOST = 253;
/** At least two labels: a single one would be completed from the search list of this machine. */
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Checks the text of an endpoint's address; pure but for the addresses of this machine. Checks after parsing, because
 * a URL spells an IPv4 address in many ways. {@link resolveTarget} checks the addresses behind a name.
 */
export function parseTarget(url: string, { localTargets, deny }: TargetRules): EndpointTarget | TargetFault {
  if (url.length > MAX_URL) return { fault: 'url_too_long' };
  // A URL drops line ends and reads a backslash as a slash; other readers of the same text do not.
  if (/[\s\\\p{Cc}]/u.test(url) || !URL.canParse(url)) return { fault: 'url_invalid' };
  const { href, protocol, hostname, port: given, username, password } = new URL(url);
  if (username !== '' || password !== '') return { fault: 'url_has_login' };
  if (href.includes('#')) return { fault: 'url_has_fragment' };
  if (protocol !== 'https:' && protocol !== 'http:') return { fault: 'not_https' };
  const secure = protocol === 'https:';
  const port = given === '' ? (secure ? 443 : 80) : Number(given);
  const host = hostname.replace(/^\[|\]$/g, '');
  const target = { href, secure, host, port };
  if (localTargets.includes(`${hostname}:${port}`)) return { ...target, local: true };
  if (!secure) return { fault: 'not_https' };
  if (port !== 443) return { fault: 'port_not_443' };
  const address = ipAddress(host);
  if (address === null && (host.length > MAX_HOST || !NAME.test(host))) return { fault: 'host_invalid' };
  if (address !== null && !isPublic(address, deny)) return { fault: 'address_not_public' };
  return { ...target, local: false };
}

/** Returns every address of a name; throws if there is none. */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

const RESOLVE_MS = 3_000;

/**
 * Finds the one address to connect to, within 3 s. Refuses a host if any of its addresses is not public: which of them
 * a later question would get is the host's choice. Never throws.
 */
export async function resolveTarget(
  { host, local }: EndpointTarget,
  { deny }: TargetRules,
  { lookup, signal }: { readonly lookup?: Lookup; readonly signal?: AbortSignal } = {},
): Promise<IpAddress | { readonly fault: ResolveFault }> {
  const literal = ipAddress(host);
  const texts =
    literal === null ? await withinTime(lookup ?? (local ? lookedUpLocally : resolved), host, signal) : [host];
  if ('fault' in texts) return texts;
  const addresses = texts.map(ipAddress);
  const [first] = addresses;
  if (first === undefined) return { fault: 'name_not_resolved' };
  const allowed = addresses.every((address) => address !== null && (local || isPublic(address, deny)));
  return first === null || !allowed ? { fault: 'address_not_public' } : first;
}

function withinTime(
  lookup: Lookup,
  host: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[] | { readonly fault: ResolveFault }> {
  const stop = new AbortController();
  return new Promise((settle) => {
    const end = (result: readonly string[] | { readonly fault: ResolveFault }) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      stop.abort();
      settle(result);
    };
    const cancel = () => end({ fault: 'canceled' });
    const timer = setTimeout(() => end({ fault: 'timeout' }), RESOLVE_MS);
    if (signal?.aborted === true) return cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    return void lookup(host, stop.signal).then(end, () => end({ fault: 'name_not_resolved' }));
  });
}

/**
 * Asks the name servers directly, and no file of this machine. The system's look-up would wait in one of the process's
 * few threads for a name server that never answers, and everything else with it.
 */
const resolved: Lookup = async (host, signal) => {
  const resolver = new Resolver({ timeout: 1_000, tries: 2 });
  signal.addEventListener('abort', () => resolver.cancel(), { once: true });
  const both = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  return both.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
};

const lookedUpLocally: Lookup = async (host) => {
  const found = await lookupLocally(host, { all: true, order: 'ipv4first' });
  return found.map(({ address }) => address);
};
