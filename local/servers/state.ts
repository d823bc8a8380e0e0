/** The choices of the local stack's first start, kept for later: keys, and ports because open orders carry them. */

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { Secret } from '../../config/keys/secret.ts';
import { publicSealKey } from '../../config/keys/inbox-seal.ts';
import type { LinkRules } from '../../providers/checkout-link.ts';
import { writePrivately } from './files.ts';
import { belongsTo } from './paths.ts';
import { freePort, freePortNear, isPortFree, portsFor } from './ports.ts';

const port = z.int().min(1).max(65_535);
const key = z.string().min(16);

const schema = z.strictObject({
  /** The clone this belongs to; a copy of the clone must not use the same ports. */
  for: z.string(),
  ports: z.strictObject({
    api: port,
    callback: port,
    sandbox: port,
    temporal: port,
    temporalUi: port,
    postgres: port,
    /** Absent in a state of an earlier version; chosen then. Merchants' endpoints: the sample shop, `npm run listen`. */
    shop: port.optional(),
    listen: port.optional(),
  }),
  keys: z.strictObject({
    callback: key,
    payerName: key,
    fingerprint: key,
    mtpayAccess: key,
    mtpaySecret: key,
    sandboxControl: key,
    /** Absent in a state of an earlier version; they are generated then. */
    inboxSeal: key.optional(),
    endpointSecret: key.optional(),
  }),
  /** Created by the first start that reaches the database; replaced when the database no longer has it. */
  apiKey: key.nullable(),
  /** The sample shop's; likewise. */
  shopKey: key.nullish(),
});

type Kept = z.infer<typeof schema>;
export type LocalState = Kept & {
  readonly keys: { readonly inboxSeal: string; readonly endpointSecret: string };
  readonly ports: { readonly shop: number; readonly listen: number };
};
export type Ports = LocalState['ports'];

/** The state cannot be used as it is; the message says what to do. */
export class LocalStateError extends Error {
  override name = 'LocalStateError';
}

function stateFile(dataDirectory: string): string {
  return join(dataDirectory, 'local.json');
}

/**
 * Reads the state of the clone, or creates and writes it. A clone that was copied with its state gets ports of its own;
 * a clone that was moved keeps them.
 * @throws LocalStateError when the file is damaged.
 */
export async function loadState(dataDirectory: string, clone: string): Promise<LocalState> {
  const file = stateFile(dataDirectory);
  if (!existsSync(file)) return saveState(dataDirectory, await firstState(clone));
  let kept: Kept;
  try {
    kept = schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new LocalStateError(
      `${file} is damaged. Put it back from a copy, or delete ${dataDirectory} to begin anew without its deposits.`,
      { cause },
    );
  }
  const state = await completed(kept);
  if (state.for === clone) return isDeepStrictEqual(kept, state) ? state : saveState(dataDirectory, state);
  const ports = belongsTo(clone, state.for) ? state.ports : await choosePorts(clone);
  return saveState(dataDirectory, { ...state, for: clone, ports });
}

/** Adds what a state of an earlier version lacks. */
async function completed({ keys, ports, ...rest }: Kept): Promise<LocalState> {
  return {
    ...rest,
    keys: { ...keys, inboxSeal: keys.inboxSeal ?? newKey(), endpointSecret: keys.endpointSecret ?? newKey() },
    // The callback port never moves, so its block is the clone's.
    ports: {
      ...ports,
      shop: ports.shop ?? (await freePortNear(ports.callback + 5)),
      listen: ports.listen ?? (await freePortNear(ports.callback + 6)),
    },
  };
}

/** Writes the state and returns it. */
export function saveState(dataDirectory: string, state: LocalState): LocalState {
  writePrivately(stateFile(dataDirectory), `${JSON.stringify(state, null, 2)}\n`);
  return state;
}

/** Reads the state without creating one; null if there is no local stack. */
function readKept(dataDirectory: string): Kept | null {
  const file = stateFile(dataDirectory);
  return existsSync(file) ? (schema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data ?? null) : null;
}

/** Returns the public key of the local stack's seals; null if there is no local stack. */
export function sealPublicKeyOf(dataDirectory: string): string | null {
  const seed = readKept(dataDirectory)?.keys.inboxSeal;
  return seed === undefined ? null : publicSealKey(new Secret(Buffer.from(seed, 'base64url')));
}

/** The port of `npm run listen`, at which the notifier posts; 0, any port, if there is no local stack. */
export const listenPortOf = (dataDirectory: string): number => readKept(dataDirectory)?.ports.listen ?? 0;

/** Returns the link rules of the local stack's sandbox; an empty object if there is no local stack. */
export function linkRulesOf(dataDirectory: string): { readonly links?: LinkRules } {
  const kept = readKept(dataDirectory);
  if (kept === null) return {};
  return { links: { redirectHosts: [`127.0.0.1:${kept.ports.sandbox}`], plainHttpHosts: ['127.0.0.1'] } };
}

async function firstState(clone: string): Promise<LocalState> {
  return {
    for: clone,
    ports: await choosePorts(clone),
    keys: {
      callback: newKey(),
      payerName: newKey(),
      fingerprint: newKey(),
      mtpayAccess: newKey(),
      mtpaySecret: newKey(),
      sandboxControl: newKey(),
      inboxSeal: newKey(),
      endpointSecret: newKey(),
    },
    apiKey: null,
  };
}

async function choosePorts(clone: string): Promise<Ports> {
  const [api, callback, sandbox, temporalUi, temporal, postgres, shop, listen] = await portsFor(clone, 8);
  return { api, callback, sandbox, temporalUi, temporal, postgres, shop, listen } as Ports;
}

function newKey(): string {
  return randomBytes(32).toString('base64url');
}

/** The ports that open orders depend on. */
const kept: ReadonlyArray<readonly [keyof Ports, string]> = [
  ['callback', 'the provider sends callbacks of open orders there'],
  ['sandbox', 'open checkout links lead there'],
];

/**
 * Checks that the `needed` ports are free, after the processes of an earlier start have ended. The ports of the API and
 * of the shop move if they are taken; the launchers of the servers choose theirs.
 * @throws LocalStateError if a port that open orders carry is taken.
 */
export async function settlePorts(ports: Ports, needed: ReadonlySet<keyof Ports>): Promise<Ports> {
  for (const [name, reason] of kept) {
    if (!needed.has(name) || (await isPortFree(ports[name]))) continue;
    throw new LocalStateError(
      `Port ${ports[name]} (${name}) is taken by another program. It cannot be moved, because ${reason}. ` +
        'End that program and start again, or delete .data to begin anew without the open deposits.',
    );
  }
  const free = async (name: 'api' | 'shop') =>
    !needed.has(name) || (await isPortFree(ports[name])) ? ports[name] : freePort();
  return { ...ports, api: await free('api'), shop: await free('shop') };
}
