import { connect } from 'node:net';

/**
 * Says bytes on a bare line and listens until the other side hangs up, or we do: at once after the last byte, or after
 * a while. Answers what came, as text.
 */
export function talk(
  url: string,
  say: readonly (string | Uint8Array)[],
  { hangUp = false, withinMs }: { readonly hangUp?: boolean; readonly withinMs?: number } = {},
): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(Number(port), hostname, () => {
      for (const bytes of say) socket.write(bytes);
      if (hangUp) socket.destroySoon();
    });
    const timer = withinMs === undefined ? undefined : setTimeout(() => socket.destroy(), withinMs);
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
    // A line that is cut while we still speak is an answer as well.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(heard);
    });
  });
}
