/** This machine's own addresses, as a URL has them. */

export const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/** Whether a host of a URL is this machine. */
export const isLoopback = (host: string): boolean => LOOPBACK.includes(host) || /^127(\.\d{1,3}){3}$/.test(host);

/** For a gRPC client: whatever `http_proxy` says. */
export const withoutProxy = { 'grpc.enable_http_proxy': 0 } as const;

/** The variables that programs and libraries take for the list of hosts not to be met through a proxy. */
const LISTS = ['no_proxy', 'NO_PROXY', 'no_grpc_proxy'];

/**
 * The environment with this machine on every list of hosts that no proxy is asked for. A company's network sets
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
