import type pg from 'pg';
import type { Keyring } from '../../config/keys/keyring.ts';
import type { Secret } from '../../config/keys/secret.ts';
import type { TargetRules } from '../../config/settings/notifications.ts';
import {
  type DeliveryAnswer,
  type EndpointAnswer,
  MAX_ENDPOINT_URL,
  type RedeliveryAnswer,
} from '../../contract/endpoint-answers.ts';
import {
  changeEndpointOperation,
  createEndpointOperation,
  deleteEndpointOperation,
  listDeliveriesOperation,
  listEndpointsOperation,
  readEndpointOperation,
  readRedeliveryOperation,
  redeliverOperation,
  rotateEndpointOperation,
} from '../../contract/endpoints.ts';
import type { ProvenCaller } from '../../database/queries/api-keys.ts';
import { type DeliveryRow, listDeliveries } from '../../database/queries/notifications/deliveries.ts';
import {
  changeEndpoint,
  deleteEndpoint,
  deliveryPosition,
  EndpointRefused,
  type EndpointRow,
  findEndpoint,
  findRedelivery,
  listEndpoints,
  makeEndpoint,
  positionsSince,
  redeliver,
  type RedeliveryRow,
  rotateEndpoint,
  type SealedSecret,
} from '../../database/queries/notifications/endpoints.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import { sealEndpointSecret } from '../../notifications/endpoint-secrets.ts';
import { newSecret, newSigningKeyPair } from '../../notifications/signature.ts';
import { parseTarget, type UrlFault } from '../../notifications/target.ts';
import { bind, type Bound } from '../http/operation-route.ts';

export interface EndpointRouteDependencies {
  readonly pool: pg.Pool;
  /** Null: there is no key, so no secret can be made. */
  readonly endpointSecrets: Keyring<Secret> | null;
  readonly targets: TargetRules;
}

/** Where events are sent, and what became of them (docs/reference/webhooks.md). */
export function bindEndpoints(deps: EndpointRouteDependencies): Bound[] {
  const { pool } = deps;
  /** Of another name, or outside the limit of the key: it looks as if it did not exist. */
  const own = async (caller: ProvenCaller, id: string): Promise<EndpointRow> => {
    const found = await findEndpoint(pool, caller, id);
    if (found === null) throw new RequestRefused('not_found', `no endpoint ${id}`);
    return found;
  };
  return [
    bind(createEndpointOperation, async ({ body: { url, types, signature }, caller }, respond) => {
      const made = newSealed(deps, caller.name, signature);
      const wanted = { url: checkedUrl(url, deps.targets), types, signature, ...made.stored };
      const id = await asked(makeEndpoint(pool, caller.proof, wanted));
      const endpoint = showEndpoint(await own(caller, id));
      return respond(201, { ...endpoint, secret: made.secret }, { location: `/v1/endpoints/${id}` });
    }),
    bind(listEndpointsOperation, async ({ caller }, respond) => {
      const all = await listEndpoints(pool, caller);
      return respond(200, { items: all.map(showEndpoint) });
    }),
    bind(readEndpointOperation, async ({ params: { id }, caller }, respond) =>
      respond(200, showEndpoint(await own(caller, id))),
    ),
    bind(changeEndpointOperation, async ({ params: { id }, body: { url, ...change }, caller }, respond) => {
      await own(caller, id);
      const checked = url === undefined ? {} : { url: checkedUrl(url, deps.targets) };
      await asked(changeEndpoint(pool, caller.proof, id, { ...change, ...checked }));
      return respond(200, showEndpoint(await own(caller, id)));
    }),
    bind(rotateEndpointOperation, async ({ params: { id }, body: { overlapHours }, caller }, respond) => {
      const { signature } = await own(caller, id);
      const { secret, stored } = newSealed(deps, caller.name, signature);
      await asked(rotateEndpoint(pool, caller.proof, id, stored, overlapHours * HOUR_MS));
      return respond(200, { ...showEndpoint(await own(caller, id)), secret });
    }),
    bind(deleteEndpointOperation, async ({ params: { id }, caller }, respond) => {
      await asked(deleteEndpoint(pool, caller.proof, id));
      return respond(204, null);
    }),
    bind(listDeliveriesOperation, async ({ query: { cursor = '0', ...filter }, caller }, respond) => {
      const { id } = await own(caller, filter.endpoint);
      const { items, end } = await listDeliveries(pool, { ...filter, endpoint: id.slice('ep_'.length), after: cursor });
      return respond(200, { items: items.map(showDelivery), nextCursor: end });
    }),
    bind(redeliverOperation, async ({ params: { id }, body: { event, since }, caller }, respond) => {
      await own(caller, id);
      const range = event === undefined ? await rangeSince(pool, id, since!) : await rangeOf(pool, id, event);
      const redelivery = await asked(redeliver(pool, caller.proof, id, range.after, range.upTo));
      const location = `/v1/endpoints/${id}/redeliveries/${redelivery}`;
      return respond(202, showRedelivery((await findRedelivery(pool, id, redelivery))!), { location });
    }),
    bind(readRedeliveryOperation, async ({ params: { id, redelivery }, caller }, respond) => {
      await own(caller, id);
      const found = await findRedelivery(pool, id, redelivery);
      if (found === null) throw new RequestRefused('not_found', `no redelivery ${redelivery} of ${id}`);
      return respond(200, showRedelivery(found));
    }),
  ];
}

const HOUR_MS = 3_600_000;

interface NewSecret {
  /** What its owner is shown, once; null: the public key is enough. */
  readonly secret: string | null;
  readonly stored: SealedSecret;
}

function newSealed({ endpointSecrets }: EndpointRouteDependencies, owner: string, signature: 'v1' | 'v1a'): NewSecret {
  if (endpointSecrets === null) {
    const detail = 'this API has no ENDPOINT_SECRET_KEY, so it makes no secrets of endpoints';
    throw new RequestRefused('not_configured', detail);
  }
  if (signature === 'v1a') {
    const { privateKey, publicKey } = newSigningKeyPair();
    return { secret: null, stored: { sealed: sealEndpointSecret(endpointSecrets, owner, privateKey), publicKey } };
  }
  const secret = newSecret();
  return { secret, stored: { sealed: sealEndpointSecret(endpointSecrets, owner, secret), publicKey: null } };
}

const URL_FAULTS: Readonly<Record<UrlFault, string>> = {
  url_invalid: 'expected an address such as https://shop.example/deposits, without blanks and backslashes',
  url_too_long: `expected at most ${MAX_ENDPOINT_URL} characters`,
  url_has_login: 'expected no user and no password: the signature says who sends',
  url_has_fragment: 'expected no fragment: leave out # and what follows it',
  not_https: 'expected https',
  port_not_443: 'expected port 443',
  host_invalid: 'expected a public host name, with a dot, or a public address',
  address_not_public: 'expected an address of the public internet',
};

/** Returns the address in its one spelling. Names behind it are resolved when a message is sent. */
function checkedUrl(url: string, targets: TargetRules): string {
  const target = parseTarget(url, targets);
  const fault = 'fault' in target ? target.fault : target.href.length > MAX_ENDPOINT_URL ? 'url_too_long' : null;
  if (fault === null) return (target as { readonly href: string }).href;
  const message = URL_FAULTS[fault];
  throw new RequestRefused('invalid_request', `url: ${message}`, { faults: [{ field: 'url', message }] });
}

async function rangeOf(pool: pg.Pool, id: string, event: string) {
  const position = await deliveryPosition(pool, id, event);
  if (position === null) throw new RequestRefused('not_found', `${event} was not for ${id}`);
  return { after: String(BigInt(position) - 1n), upTo: position };
}

async function rangeSince(pool: pg.Pool, id: string, since: Date) {
  const range = await positionsSince(pool, id, since);
  if (BigInt(range.upTo) > BigInt(range.after)) return range;
  throw new RequestRefused('not_found', `no event since then was for ${id}`);
}

/** Resolves a change of an endpoint; the refusals of the database become those of the API. */
async function asked<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof EndpointRefused)) throw error;
    throw error.code === 'gone'
      ? new RequestRefused('not_found', 'there is no such endpoint', { cause: error })
      : new RequestRefused('limit_reached', 'there are as many as may be', { cause: error });
  }
}

const time = (at: Date | null): string | null => at?.toISOString() ?? null;

const showEndpoint = (row: EndpointRow): EndpointAnswer => ({
  id: row.id,
  url: row.url,
  types: row.types as EndpointAnswer['types'],
  wallets: row.wallets,
  state: row.state,
  signature: row.signature,
  publicKey: row.publicKey,
  previousSecretUntil: time(row.previousSecretUntil),
  createdAt: row.createdAt.toISOString(),
  failingSince: time(row.failingSince),
  pausedUntil: time(row.pausedUntil),
});

const showDelivery = (row: DeliveryRow): DeliveryAnswer => ({
  event: row.event,
  type: row.type as DeliveryAnswer['type'],
  endpoint: row.endpoint,
  externalOrderNumber: row.externalOrderNumber,
  sequence: row.sequence,
  outcome: row.outcome,
  publishedAt: row.publishedAt.toISOString(),
  settledAt: time(row.settledAt),
  attempts: [...row.attempts],
});

const showRedelivery = (row: RedeliveryRow): RedeliveryAnswer => ({
  id: row.id,
  endpoint: row.endpoint,
  askedAt: row.askedAt.toISOString(),
  askedBy: row.askedBy,
  doneAt: time(row.doneAt),
  doneUpTo: time(row.doneUpTo),
  upTo: row.upTo.toISOString(),
});
