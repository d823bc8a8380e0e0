import { z } from 'zod';
import { parseMtc } from '../../domain/money.ts';
import { CURRENCIES, type Currency, type DepositSettings } from '../../domain/order.ts';
import type { KeyName } from '../keys/keys.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Secret } from '../keys/secret.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { SignatureTrust } from '../keys/operator-keys.ts';
import type { Environment } from '../keys/secret-files.ts';
import { linkRules, shared, trustIn } from './api-and-worker.ts';
import { type ListenersConfig, listenersOf, listeners } from './callbacks.ts';
import { isEndpointKeySet, notifyTargets, type TargetRules, targetRulesOf } from './notifications.ts';
import { type Needs, readEnvironment } from './read-environment.ts';
import { band, count, decimalSetting, origin, share } from './variable-types.ts';

const apiSchema = z.object({
  ...shared,
  ...listeners,
  TEMPORAL_UI_URL: origin.optional(),
  LATE_POLICY: z.enum(['credit', 'review']).default('credit'),
  RATE_BAND_CNY: band('6.5-8.0'),
  RATE_BAND_HKD: band('7.0-8.6'),
  RATE_BAND_TWD: band('28-36'),
  FEE_BAND: share.default('0'),
  FEE_BAND_CNY: share.optional(),
  FEE_BAND_HKD: share.optional(),
  FEE_BAND_TWD: share.optional(),
  CREDIT_CAP: z
    .string()
    .refine((value) => parseMtc(value).ok, 'expected an amount of MTC above 0, at most 8 decimals')
    .optional(),
  REVIEW_LIMIT: decimalSetting('0'),
  API_RATE_LIMIT: count('500'),
  API_RATE_BURST: count('1000'),
  API_FAILURE_LIMIT: count('20'),
  API_FAILURE_BURST: count('200'),
  ...notifyTargets,
});

const API_NEEDS = {
  databases: ['DATABASE_URL_API'],
  addresses: ['MTPAY_BASE_URL'],
  keys: ['mtpay', 'callback', 'payerName', 'fingerprint', 'inboxSeal', 'inboxSealPublic', 'endpointSecret'],
} as const satisfies Needs<KeyName>;

export interface ApiConfig extends ListenersConfig {
  readonly keys: KeySource<(typeof API_NEEDS.keys)[number]>;
  /** Encrypts the secrets of endpoints; null: there is no key, so nobody can make an endpoint. */
  readonly endpointSecrets: Keyring<Secret> | null;
  readonly targets: TargetRules;
  /** The hosts that a served checkout link may lead to. */
  readonly links: { readonly redirectHosts: readonly string[]; readonly plainHttpHosts: readonly string[] };
  readonly temporalUiUrl?: string;
  /** Rate limits for requests of one key and failed authentications from one address: tokens a second, and burst. */
  readonly limits: Readonly<Record<'key' | 'failure', { readonly perSecond: number; readonly burst: number }>>;
  /** The directory where histories are archived; absent: they are in the database. */
  readonly archiveDirectory?: string;
  readonly settings: DepositSettings;
  /** The largest id up to which inbox rows need no seal; null: the database's value is not limited. */
  readonly sealEpoch: string | null;
  /** The keys and the rule that operators' steps are verified with. */
  readonly signatures: SignatureTrust;
}

/** Reads the API's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadApiConfig(env: Environment = process.env): ApiConfig {
  // Without endpoints an API of before starts as it did.
  const isSet = isEndpointKeySet(env);
  const needed = isSet ? API_NEEDS.keys : API_NEEDS.keys.filter((name) => name !== 'endpointSecret');
  const { raw, keys } = readEnvironment(apiSchema, env, { ...API_NEEDS, keys: needed });
  return {
    ...listenersOf(raw),
    keys,
    endpointSecrets: isSet ? keys.rings.endpointSecret : null,
    targets: targetRulesOf(raw),
    links: linkRules(raw),
    ...(raw.TEMPORAL_UI_URL === undefined ? {} : { temporalUiUrl: raw.TEMPORAL_UI_URL }),
    limits: {
      key: { perSecond: raw.API_RATE_LIMIT, burst: raw.API_RATE_BURST },
      failure: { perSecond: raw.API_FAILURE_LIMIT, burst: raw.API_FAILURE_BURST },
    },
    ...(raw.ARCHIVE_DIRECTORY === undefined ? {} : { archiveDirectory: raw.ARCHIVE_DIRECTORY }),
    settings: {
      rateBands: { CNY: raw.RATE_BAND_CNY, HKD: raw.RATE_BAND_HKD, TWD: raw.RATE_BAND_TWD },
      feeBand: raw.FEE_BAND,
      ...feeBands(raw),
      ...(raw.CREDIT_CAP === undefined ? {} : { creditCap: raw.CREDIT_CAP }),
      latePolicy: raw.LATE_POLICY,
      paymentWindowMs: raw.PAYMENT_WINDOW,
      listeningWindowMs: raw.LISTENING_WINDOW,
      reviewLimit: raw.REVIEW_LIMIT,
    },
    sealEpoch: raw.INBOX_SEAL_EPOCH ?? null,
    signatures: trustIn(raw),
  };
}

/** Returns only bands that are set: an absent setting is absent from the deposit as well. */
function feeBands(raw: z.output<typeof apiSchema>): Pick<DepositSettings, 'feeBands'> {
  const own: Partial<Record<Currency, string>> = {};
  for (const currency of CURRENCIES) {
    const band = raw[`FEE_BAND_${currency}`];
    if (band !== undefined) own[currency] = band;
  }
  return Object.keys(own).length === 0 ? {} : { feeBands: own };
}
