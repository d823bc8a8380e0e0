/** A server that this run did not start: its own work would distort the figures, and its data would be at risk. */
export class ForeignServer extends Error {
  override readonly name = 'ForeignServer';
}

/** Throws {@link ForeignServer} unless this run started the server, on loopback. */
export function requireOwn(what: string, server: { readonly adopted: boolean; readonly at: string }): void {
  const { hostname } = new URL(server.at.includes('://') ? server.at : `tcp://${server.at}`);
  if (server.adopted)
    throw new ForeignServer(`${what} was running already: the bench measures on its own servers only`);
  if (hostname !== '127.0.0.1')
    throw new ForeignServer(`${what} is at ${hostname}, which is not this machine's loopback`);
}
