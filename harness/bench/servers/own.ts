/** A server that this run did not start: what is measured on it would be somebody else's work, and their data at risk. */
export class ForeignServer extends Error {
  override readonly name = 'ForeignServer';
}

/** Throws {@link ForeignServer} unless the server was started now, on loopback. */
export function requireOwn(what: string, server: { readonly adopted: boolean; readonly at: string }): void {
  const { hostname } = new URL(server.at.includes('://') ? server.at : `tcp://${server.at}`);
  if (server.adopted)
    throw new ForeignServer(`${what} was running already: the bench measures on its own servers only`);
  if (hostname !== '127.0.0.1')
    throw new ForeignServer(`${what} is at ${hostname}, which is not this machine's loopback`);
}
