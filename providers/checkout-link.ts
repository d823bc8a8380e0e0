/** The hosts that a checkout link may lead to. */
export interface LinkRules {
  /** Hosts, with the port if it is not the default one. */
  readonly redirectHosts: readonly string[];
  /** Hosts to which plain HTTP is allowed; everything else is https. */
  readonly plainHttpHosts: readonly string[];
}

/**
 * Returns the checkout link as it is stored and served. Null: it is malformed, too long or leads to another host, and
 * must not reach a customer (docs/internals/threat-model.md, T19). Called when the provider responds, and again
 * whenever a row is shown.
 */
export function checkoutLink(text: string, options: LinkRules): string | null {
  if (text.length > 2_000 || !URL.canParse(text)) return null;
  const url = new URL(text);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && allows(options.plainHttpHosts, url));
  return secure && url.username === '' && url.password === '' && allows(options.redirectHosts, url) ? url.href : null;
}

const allows = (hosts: readonly string[], url: URL): boolean =>
  hosts.includes(url.host) || hosts.includes(url.hostname);
