import { z } from 'zod';
import { LOOPBACK } from '../loopback.ts';
import { parseOperatorKeys, type SignatureTrust } from '../keys/operator-keys.ts';
import { databaseUrl, hosts, operatorKeys, sealEpoch } from './variable-types.ts';

/** Variables that the API and the worker read; an audit reads some of them. */

export const signatures = {
  DECISION_SIGNATURES: z.enum(['off', 'required']).default('off'),
  OPERATOR_PUBLIC_KEYS: operatorKeys,
};

export const shared = {
  DATABASE_URL: databaseUrl.optional(),
  MTPAY_BASE_URL: z.url({ protocol: /^https?$/ }),
  MTPAY_REDIRECT_HOSTS: hosts.optional(),
  MTPAY_PLAIN_HTTP_HOSTS: hosts.default(LOOPBACK),
  ARCHIVE_DIRECTORY: z.string().optional(),
  INBOX_SEAL_EPOCH: sealEpoch.optional(),
  ...signatures,
  RESTORED_FROM_EMPTY: z.enum(['0', '1']).default('0'),
  CRASH_AT: z
    .string()
    .regex(/^[\w.]+(:[1-9]\d{0,5})?$/, 'expected POINT or POINT:N, N a whole number from 1')
    .optional(),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
};

/** Returns the hosts that checkout links may lead to. */
export const linkRules = (raw: {
  readonly MTPAY_BASE_URL: string;
  readonly MTPAY_REDIRECT_HOSTS?: string[] | undefined;
  readonly MTPAY_PLAIN_HTTP_HOSTS: string[];
}) => ({
  redirectHosts: raw.MTPAY_REDIRECT_HOSTS ?? [new URL(raw.MTPAY_BASE_URL).host],
  plainHttpHosts: raw.MTPAY_PLAIN_HTTP_HOSTS,
});

/** Returns the keys and the rule that operators’ steps are verified with. */
export const trustIn = (raw: {
  DECISION_SIGNATURES: 'off' | 'required';
  OPERATOR_PUBLIC_KEYS: string;
}): SignatureTrust => ({
  required: raw.DECISION_SIGNATURES === 'required',
  keys: parseOperatorKeys(raw.OPERATOR_PUBLIC_KEYS).keys,
});
