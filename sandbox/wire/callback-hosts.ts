import { charactersIn } from '../plain-text.ts';

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Undocumented by MTPay; longer URLs are refused with PARAMETER_ERROR. */
const MAX_URL_LENGTH = 2048;

/**
 * Returns why the sandbox will not call this URL; null if it will. It calls only configured hosts; `loopback` means
 * this machine. The check runs at the placement and again before every attempt, because the list may change.
 */
export function callbackUrlProblem(url: string, allowedHosts: readonly string[]): string | null {
  if (charactersIn(url) > MAX_URL_LENGTH) return `must have at most ${MAX_URL_LENGTH} characters`;
  if (!URL.canParse(url)) return 'must be an absolute URL';
  const { protocol, hostname, username, password, hash } = new URL(url);
  if (protocol !== 'http:' && protocol !== 'https:') return 'must begin with http:// or https://';
  if (username !== '' || password !== '') return 'must not carry a user name or password';
  if (hash !== '') return 'must not carry a fragment';
  const allowed = allowedHosts.some((host) => (host === 'loopback' ? LOOPBACK.test(hostname) : host === hostname));
  return allowed ? null : `must point to an allowed host (SANDBOX_CALLBACK_HOSTS); ${hostname} is not`;
}
