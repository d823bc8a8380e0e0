import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AuditKeys } from '../../config/settings/audit.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { type ReportSigningKey, reportSigningKey } from './sign.ts';

/**
 * Opens the signing key: the configured one, or this machine's own, which is made once and stored in `machineKeyFile`
 * (PKCS8 PEM, mode 600). Throws {@link ConfigError} when that file is no such key, or others may read it.
 */
export function openSigner({ signingKey }: AuditKeys, machineKeyFile: string): ReportSigningKey {
  if (signingKey !== null) return reportSigningKey(signingKey, false);
  makeOnce(machineKeyFile);
  if ((statSync(machineKeyFile).mode & 0o077) !== 0)
    throw new ConfigError(`${machineKeyFile}: others may read this key; make a new one, or chmod 600 it`);
  return reportSigningKey(read(machineKeyFile), true);
}

/** Two audits that start at once get one key, because creating a link is atomic. */
function makeOnce(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  const { privateKey } = generateKeyPairSync('ed25519');
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600, flush: true });
  try {
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
}

function read(path: string) {
  try {
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // The error's message could contain the key.
  }
  throw new ConfigError(`${path}: no Ed25519 key in PKCS8 PEM; delete the file, and a new one is made`);
}
