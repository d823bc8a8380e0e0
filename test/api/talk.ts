import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Sends bytes on a raw connection and reads until the other side closes it, or we do: at once after the last byte, or
 * after a while. `pauseMs` between the pieces, so that each is a packet of its own. Returns the received text.
 */
export function talk(
  url: string,
  say: readonly (string | Uint8Array)[],
  {
    hangUp = false,
    withinMs,
    pauseMs = 0,
  }: { readonly hangUp?: boolean; readonly withinMs?: number; readonly pauseMs?: number } = {},
): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let heard = '';
    const speak = async () => {
      for (const bytes of say) {
        socket.write(bytes);
        if (pauseMs > 0) await sleep(pauseMs);
      }
      if (hangUp) socket.destroySoon();
    };
    const socket = connect({ port: Number(port), host: hostname, noDelay: true }, () => void speak());
    const timer = withinMs === undefined ? undefined : setTimeout(() => socket.destroy(), withinMs);
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
    // A connection that is cut while we still send is a valid result.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(heard);
    });
  });
}
