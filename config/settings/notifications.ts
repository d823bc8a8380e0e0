import { BlockList } from 'node:net';
import { z } from 'zod';
import { keyVariables } from '../keys/keys.ts';
import { type Environment, withSecretFiles } from '../keys/secret-files.ts';
import { cidrs, urlHosts } from './variable-types.ts';

/** Variables that say to which endpoints messages may be posted; the API and the notifier read them. */
export const notifyTargets = {
  NOTIFY_LOCAL_TARGETS: urlHosts.default([]),
  NOTIFY_DENY: cidrs.default([]),
  NOTIFY_CA_FILE: z.string().optional(),
};

/** Whether there is a key for the secrets of endpoints; a file that is not there counts as none. */
export function isEndpointKeySet(env: Environment): boolean {
  const names = keyVariables(['endpointSecret']);
  const { values, problems } = withSecretFiles(env, names);
  return problems.length > 0 || names.some((name) => values[name] !== undefined);
}

/** The exceptions from the rules of `notifications/`. */
export interface TargetRules {
  /** `host:port` as a URL has them, exempt from the rules about addresses and ports; plain HTTP is allowed there. */
  readonly localTargets: readonly string[];
  /** Public addresses that are refused nevertheless, for example our own behind a load balancer. */
  readonly deny: BlockList;
}

export function targetRulesOf(raw: {
  readonly NOTIFY_LOCAL_TARGETS: readonly string[];
  readonly NOTIFY_DENY: readonly (readonly [address: string, prefix: number, family: 'ipv4' | 'ipv6'])[];
}): TargetRules {
  const deny = new BlockList();
  for (const range of raw.NOTIFY_DENY) deny.addSubnet(...range);
  return { localTargets: raw.NOTIFY_LOCAL_TARGETS, deny };
}
