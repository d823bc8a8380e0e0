/** This machine's own addresses, as a URL has them. */

export const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/** Whether a host of a URL is this machine. */
export const isLoopback = (host: string): boolean => LOOPBACK.includes(host) || /^127(\.\d{1,3}){3}$/.test(host);

/** Makes a gRPC client ignore `http_proxy`. */
export const withoutProxy = { 'grpc.enable_http_proxy': 0 } as const;

/** The variables with the list of hosts that programs and libraries reach without a proxy. */
const LISTS = ['no_proxy', 'NO_PROXY', 'no_grpc_proxy'];

/**
 * Returns the environment with this machine on every list of hosts without a proxy. A company's network sets
 * `http_proxy`, and some clients (gRPC's is one) then ask the proxy for 127.0.0.1, which is another machine there.
 */
export function withDirectLoopback<T extends Readonly<Record<string, string | undefined>>>(env: T): T {
  const names = LOOPBACK.map((host) => host.replace(/[[\]]/g, ''));
  const lists = LISTS.filter((list) => list !== 'no_grpc_proxy' || (env[list] ?? '') !== '').map((list) => {
    const named = (env[list] ?? '').split(',').filter((name) => name.trim() !== '');
    return [list, [...named, ...names.filter((name) => !named.includes(name))].join(',')];
  });
  return { ...env, ...Object.fromEntries(lists) };
}
