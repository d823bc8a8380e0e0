import { join } from 'node:path';
import { loadAuditDatabases } from '../config/settings/audit.ts';
import { ConfigError } from '../config/settings/read-environment.ts';
import { loadTemporal } from '../config/temporal.ts';
import { auditProcess } from './command.ts';

/** The audit of the servers that the environment names (docs/guides/audit.md#in-production). */

// oxlint-disable-next-line require-await -- the local stack's has to start servers
await auditProcess(async () => {
  const databases = loadAuditDatabases();
  if (databases === null) throw new ConfigError('neither DATABASE_URL_AUDITOR nor DATABASE_URL is set');
  return {
    ...databases,
    temporal: loadTemporal(),
    sealPublicKey: null,
    machineKeyFile: join(process.cwd(), 'audit-signing-key.pem'),
    stop: () => Promise.resolve(),
  };
});
