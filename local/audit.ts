import { join } from 'node:path';
import { auditProcess } from '../audit/command.ts';
import { loadAuditDatabases } from '../config/settings/audit.ts';
import { isTemporalGiven, loadTemporal } from '../config/temporal.ts';
import { databases, embeddedUrl } from './stack/environment.ts';
import { forgetLocalEnv } from './stack/local-env.ts';
import { dataDirectory } from './servers/paths.ts';
import { startServers } from './stack/servers.ts';
import { linkRulesOf, sealPublicKeyOf } from './servers/state.ts';

/** `npm run audit`: audits the servers that the environment names, else this clone's own. */

forgetLocalEnv(process.env);

await auditProcess(async () => {
  const named = loadAuditDatabases();
  const servers = await startServers({ postgres: named === null, temporal: !isTemporalGiven() });
  const { databaseUrl, temporalAddress } = servers;
  const login = (role: string) => ({ url: embeddedUrl(databaseUrl!, role, databases.engine) });
  const given = loadTemporal();
  return {
    ...(named ?? { auditor: login('auditor'), archiver: login('archiver') }),
    temporal:
      temporalAddress === null
        ? given
        : { ...given, namespace: 'default', connectionOptions: { address: temporalAddress } },
    sealPublicKey: named === null ? sealPublicKeyOf(dataDirectory) : null,
    ...(named === null ? linkRulesOf(dataDirectory) : {}),
    machineKeyFile: join(dataDirectory, 'audit-signing-key.pem'),
    stop: () => servers.stop(),
  };
});
