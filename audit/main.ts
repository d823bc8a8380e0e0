import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { createArchiver } from '../activities/archiving.ts';
import { archiveObjects } from '../archive/objects.ts';
import { loadAuditKeys } from '../config/audit.ts';
import { ConfigError, type DatabaseConfig } from '../config/load.ts';
import { createLog } from '../config/log.ts';
import { isTemporalGiven, loadDataConverter, loadTemporal } from '../config/temporal.ts';
import { createPool } from '../database/pool.ts';
import { dataDirectory } from '../local/paths.ts';
import { startServers } from '../local/servers.ts';
import { temporalHistories } from '../worker/histories.ts';
import { engineVersion } from '../worker/version.ts';
import { workflowSource } from '../worker/workflow-source.ts';
import { audit } from './coordinator.ts';
import { readExceptions } from './exceptions.ts';
import { writeReport } from './files.ts';
import { openSigner } from './machine-key.ts';
import { type AuditCommand, Misused, parseCommand, USAGE } from './scope.ts';
import { verifyReport } from './verify.ts';

/** `npm run audit`: proves every credit, or says which it cannot. */

Runtime.install({ logger: new DefaultLogger('ERROR') });

const say = (line: string) => console.error(line);
const show = (line: string) => console.log(line);

async function main(args: readonly string[]): Promise<number> {
  try {
    if (args[0] === 'verify') {
      const { publicKey } = loadAuditKeys({ toSign: false });
      return verifyReport(args[1], { pinned: publicKey, say: show });
    }
    return await run(parseCommand(args));
  } catch (error) {
    if (!(error instanceof Misused || error instanceof ConfigError)) throw error;
    say(error instanceof Misused ? `${error.message}\n\n${USAGE}` : error.message);
    return 2;
  }
}

/** Where things are: what the environment names, the embedded servers of this clone otherwise. */
async function reach(env: NodeJS.ProcessEnv) {
  const given = (name: string) => (env[name] ?? '') !== '';
  const own = ['DATABASE_URL_AUDITOR', 'DATABASE_URL'].some(given);
  const servers = await startServers({ postgres: !own, temporal: !isTemporalGiven(env) });
  const common = servers.databaseUrl ?? env['DATABASE_URL'];
  const auditor: DatabaseConfig = given('DATABASE_URL_AUDITOR')
    ? { url: env['DATABASE_URL_AUDITOR']!, setRole: false }
    : { url: common!, setRole: true };
  const worker: DatabaseConfig | null = given('DATABASE_URL_WORKER')
    ? { url: env['DATABASE_URL_WORKER']!, setRole: false }
    : common === undefined
      ? null
      : { url: common, setRole: true };
  const temporal =
    servers.temporalAddress === null
      ? loadTemporal(env)
      : { connectionOptions: { address: servers.temporalAddress }, namespace: 'default' };
  return { servers, auditor, worker, temporal };
}

async function run(command: AuditCommand): Promise<number> {
  const env = process.env;
  const keys = loadAuditKeys({ toSign: true }, env);
  const exceptions = await readExceptions(command.exceptions);
  const { servers, auditor, worker, temporal } = await reach(env);
  const dataConverter = loadDataConverter(env);
  const connection = await Connection.connect(temporal.connectionOptions ?? {});
  try {
    const client = new Client({ connection, namespace: temporal.namespace, dataConverter });
    const archiveDirectory = env['ARCHIVE_DIRECTORY'] === '' ? undefined : env['ARCHIVE_DIRECTORY'];
    if (worker !== null) await archiveFirst(worker, client, archiveDirectory);
    const { workflowBundle } = await workflowSource({}, dataConverter.payloadCodecs !== undefined);
    const finished = await audit(
      {
        database: auditor,
        client,
        dataConverter,
        archiveDirectory,
        code: workflowBundle.code,
        codeVersion: engineVersion(),
        exceptions,
        processes: command.processes ?? availableParallelism(),
        tell: say,
      },
      command,
    );
    const { report } = finished;
    const signer = openSigner(keys, join(dataDirectory, 'audit-signing-key.pem'));
    const files = writeReport(report, signer, command.out);
    await finished.done();
    say(report.unexplained === 0 ? 'nothing is unexplained' : `${report.unexplained} findings are unexplained`);
    for (const { kinds, title } of report.checks)
      for (const { kind, found } of kinds) say(`  ${title}: ${kind} ${found}`);
    show(files.json);
    show(files.html);
    return report.unexplained === 0 ? 0 : 1;
  } finally {
    await connection.close();
    await servers.stop();
  }
}

/** What closed a moment ago is archived like the rest, before the archive is audited. */
async function archiveFirst(worker: DatabaseConfig, client: Client, directory: string | undefined): Promise<void> {
  const pool = createPool({
    url: worker.url,
    ...(worker.setRole ? { role: 'app_worker' as const } : {}),
    applicationName: 'deposit-audit-archive',
    max: 4,
  });
  try {
    const archiver = createArchiver({
      pool,
      histories: temporalHistories(client),
      objects: archiveObjects(pool, directory),
      version: engineVersion(),
      log: createLog('audit', 'silent'),
    });
    for (let archived = 1; archived > 0; ) ({ archived } = await archiver.archiveClosed(200));
  } finally {
    await pool.end();
  }
}

process.exitCode = await main(process.argv.slice(2));
