import { isLoopback } from './loopback.ts';
import type { Environment } from './keys/secret-files.ts';

/** The address of the proxy for calls to the provider; null: none. `problem` never shows a value. */
export interface ProviderProxy {
  readonly proxy: string | null;
  readonly problem: string | null;
}

const direct: ProviderProxy = { proxy: null, problem: null };
const wrong = (problem: string): ProviderProxy => ({ proxy: null, problem: `MTPAY_PROXY: ${problem}` });

/**
 * Reads MTPAY_PROXY: `off`, an address such as `http://proxy.example:3128`, or `environment` for HTTPS_PROXY unless
 * NO_PROXY names the provider's host. Off by default: a proxy sees that orders are placed, so it must be chosen
 * explicitly. A provider on this machine is called without a proxy.
 */
export function providerProxy(env: Environment): ProviderProxy {
  const asked = env['MTPAY_PROXY'] || 'off';
  const base = env['MTPAY_BASE_URL'] ?? '';
  if (asked === 'off' || !URL.canParse(base)) return direct;
  const { protocol, hostname } = new URL(base);
  if (isLoopback(hostname)) return direct;
  const either = (name: string) => env[name] || env[name.toLowerCase()];
  const proxy = asked === 'environment' ? either('HTTPS_PROXY') : asked;
  if (proxy === undefined) return wrong('is environment, and neither HTTPS_PROXY nor https_proxy is set');
  if (asked === 'environment' && isExempt(hostname, either('NO_PROXY') ?? '')) return direct;
  if (!isProxy(proxy)) return wrong('expected off, environment or an address such as http://proxy.example:3128');
  if (protocol !== 'https:')
    return wrong('plain HTTP to the provider does not go through a proxy, which could read it');
  return { proxy, problem: null };
}

function isProxy(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, username, password } = new URL(text);
  return protocol === 'http:' && pathname === '/' && isEncoded(username) && isEncoded(password);
}

/** False for a percent sign that is not written as `%25`, for example in a password. */
function isEncoded(text: string): boolean {
  try {
    return typeof decodeURIComponent(text) === 'string';
  } catch {
    return false;
  }
}

/** Whether a list such as `.example.com,10.0.0.1` names the host or a domain above it. */
function isExempt(host: string, list: string): boolean {
  const names = list.split(/[\s,]+/).map((name) => name.toLowerCase().replace(/^\*?\./, ''));
  return names.some((name) => name === '*' || (name !== '' && (host === name || host.endsWith(`.${name}`))));
}
