import { type SealPublicKeys, sealPublicKeys } from '../keys/inbox-seal.ts';
import { keyVariables, parseKeys } from '../keys/keys.ts';
import type { Secret } from '../keys/secret.ts';
import { type Environment, withSecretFiles } from '../keys/secret-files.ts';
import { configError } from './read-environment.ts';
import { sealEpoch } from './variable-types.ts';

/**
 * Reads the settings for verifying the seals of inbox rows. `ours`: the public key if INBOX_SEAL_PUBLIC_KEYS is not
 * set, such as the local stack's. Throws {@link ConfigError}.
 */
export function loadSealTrust(
  ours: string | null,
  env: Environment = process.env,
): { readonly publicKeys: SealPublicKeys; readonly epoch: string | null } {
  const { values, problems: unread } = withSecretFiles(env, keyVariables(['inboxSealPublic']));
  const given = { INBOX_SEAL_PUBLIC_KEYS: values['INBOX_SEAL_PUBLIC_KEYS'] ?? ours ?? undefined };
  const { keys, problems } = parseKeys(given, ['inboxSealPublic'], { samples: true });
  const epoch = sealEpoch.optional().safeParse(values['INBOX_SEAL_EPOCH']);
  const wrong = epoch.success ? [] : epoch.error.issues.map(({ message }) => `INBOX_SEAL_EPOCH: ${message}`);
  const all = [...unread, ...problems, ...wrong];
  if (keys === null || all.length > 0) throw configError(all);
  return { publicKeys: sealPublicKeys(keys.inboxSealPublic.current), epoch: epoch.data ?? null };
}

/** Reads the private key of the seals, for its registration. Throws {@link ConfigError}. */
export function loadSealKey(env: Environment = process.env): Secret {
  const { values, problems: unread } = withSecretFiles(env, keyVariables(['inboxSeal']));
  const { keys, problems } = parseKeys(values, ['inboxSeal'], { samples: true });
  if (keys === null || unread.length > 0) throw configError([...unread, ...problems]);
  return keys.inboxSeal.current;
}

/** Calls {@link loadSealKey} if the key is set; null: it is not. */
export function loadSealKeyIfSet(env: Environment = process.env): Secret | null {
  const { values } = withSecretFiles(env, keyVariables(['inboxSeal']));
  return values['INBOX_SEAL_KEY'] === undefined ? null : loadSealKey(env);
}
