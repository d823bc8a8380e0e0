import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { createArchiver } from '../activities/archiving.ts';
import { collectEvidence } from '../archive/evidence.ts';
import { archiveObjects } from '../archive/objects.ts';
import { loadAuditKeys } from '../config/audit.ts';
import { ConfigError, type DatabaseConfig, loadSealConfig, loadSignatureConfig } from '../config/load.ts';
import { createLog } from '../config/log.ts';
import { isTemporalGiven, loadDataConverter, loadTemporal } from '../config/temporal.ts';
import { withSecretFiles } from '../config/secret-files.ts';
import { createPool } from '../database/pool.ts';
import { dataDirectory } from '../local/paths.ts';
import { sealPublicKeyOf } from '../local/state.ts';
import { sealPublicKeys } from '../config/inbox-seal.ts';
import { startServers } from '../local/servers.ts';
import { temporalHistories } from '../worker/histories.ts';
import { engineVersion } from '../worker/version.ts';
import { workflowSource } from '../worker/workflow-source.ts';
import { audit } from './coordinator.ts';
import { readExceptions } from './exceptions.ts';
import { openFiles, writeReport } from './files.ts';
import { openSigner } from './machine-key.ts';
import { fetchOpen } from './open-work.ts';
import { quietRuntime } from './quiet.ts';
import type { AuditReport } from './report.ts';
import { type AuditCommand, Misused, parseCommand, USAGE } from './scope.ts';
import { openSession } from './session.ts';
import { verifyReport } from './verify.ts';
import '../config/closed-output.ts';

/** `npm run audit`: proves every credit, or says which it cannot. */

quietRuntime();

const say = (line: string) => console.error(line);
const show = (line: string) => console.log(line);

async function main(args: readonly string[]): Promise<number> {
  try {
    if (args[0] === 'verify') {
      const { publicKey } = loadAuditKeys({ toSign: false });
      return await verifyReport(args[1], { pinned: publicKey, say: show });
    }
    return await run(parseCommand(args, process.env));
  } catch (error) {
    if (!(error instanceof Misused || error instanceof ConfigError)) throw error;
    say(error instanceof Misused ? `${error.message}\n\n${USAGE}` : error.message);
    return 2;
  }
}

/** Where things are: what the environment names, the embedded servers of this clone otherwise. */
async function reach(env: NodeJS.ProcessEnv) {
  const { values, problems } = withSecretFiles(env, ['DATABASE_URL_AUDITOR', 'DATABASE_URL_WORKER', 'DATABASE_URL']);
  if (problems.length > 0) throw new ConfigError(problems.join('; '));
  const isOurs = values['DATABASE_URL_AUDITOR'] === undefined && values['DATABASE_URL'] === undefined;
  if (isOurs && values['DATABASE_URL_WORKER'] !== undefined) {
    throw new ConfigError('DATABASE_URL_WORKER is set, and neither DATABASE_URL_AUDITOR nor DATABASE_URL');
  }
  const seals = loadSealConfig(isOurs ? sealPublicKeyOf(dataDirectory) : null, env);
  const signatures = loadSignatureConfig(env);
  const servers = await startServers({ postgres: isOurs, temporal: !isTemporalGiven(env) });
  const common = servers.databaseUrl ?? values['DATABASE_URL'];
  const as = (name: string): DatabaseConfig | null => {
    const own = values[name];
    const url = own ?? common;
    return url === undefined ? null : { url };
  };
  const temporal =
    servers.temporalAddress === null
      ? loadTemporal(env)
      : { connectionOptions: { address: servers.temporalAddress }, namespace: 'default' };
  return {
    servers,
    auditor: as('DATABASE_URL_AUDITOR')!,
    worker: as('DATABASE_URL_WORKER'),
    temporal,
    seals,
    signatures,
  };
}

async function run(command: AuditCommand): Promise<number> {
  const env = process.env;
  const keys = loadAuditKeys({ toSign: true }, env);
  const exceptions = await readExceptions(command.exceptions);
  const { servers, auditor, worker, temporal, seals, signatures } = await reach(env);
  const dataConverter = loadDataConverter(env);
  const connection = await Connection.connect(temporal.connectionOptions ?? {});
  const open = openFiles(command.out);
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
        sealTrust: { publicKeys: sealPublicKeys(seals.publicKeys), epoch: seals.sealEpoch },
        signatures,
        processes: command.processes ?? availableParallelism(),
        ...(command.after === null ? {} : { heads: await headsOf(command.after, keys.publicKey) }),
        files: open,
        tell: say,
      },
      command,
    );
    const { report } = finished;
    if (command.deposit !== null) await tellEvidence(auditor, client, dataConverter, archiveDirectory, command.deposit);
    const signer = openSigner(keys, join(dataDirectory, 'audit-signing-key.pem'));
    const files = writeReport(report, signer, command.out, open);
    await finished.done();
    say(report.unexplained === 0 ? 'nothing is unexplained' : `${report.unexplained} findings are unexplained`);
    for (const { kinds, title } of report.checks)
      for (const { kind, found } of kinds) say(`  ${title}: ${kind} ${found}`);
    show(files.json);
    show(files.html);
    for (const file of files.beside) say(`  beside them: ${file}`);
    return report.unexplained === 0 ? 0 : 1;
  } finally {
    open.drop();
    await connection.close();
    await servers.stop();
  }
}

/** The heads of an earlier report. Throws {@link Misused} unless it is as it was signed. */
async function headsOf(path: string, pinned: KeyObject | null) {
  const said: string[] = [];
  if ((await verifyReport(path, { pinned, say: (line) => said.push(line) })) !== 0) {
    throw new Misused(`--after: ${path} is not a report to rely on: ${said.join(' ')}`);
  }
  return (JSON.parse(readFileSync(path, 'utf8')) as AuditReport).heads;
}

/** The story of one deposit, for people, before the files are named. */
async function tellEvidence(
  auditor: DatabaseConfig,
  client: Client,
  dataConverter: DataConverter,
  directory: string | undefined,
  externalOrderNumber: string,
): Promise<void> {
  const db = await openSession(auditor, null);
  try {
    const lines = await collectEvidence(
      {
        db,
        objects: archiveObjects(db, directory),
        codecs: dataConverter.payloadCodecs ?? [],
        fetchOpen: (workflowId) => fetchOpen(client, workflowId),
      },
      externalOrderNumber,
    );
    if (lines === null) throw new Misused(`there is no deposit ${externalOrderNumber}`);
    for (const { at, source, text, hash } of lines) show(`${at}  ${hash.slice(0, 12)}  ${source}: ${text}`);
  } finally {
    await db.end();
  }
}

/** What closed a moment ago is archived like the rest, before the archive is audited. */
async function archiveFirst(worker: DatabaseConfig, client: Client, directory: string | undefined): Promise<void> {
  const pool = createPool({
    url: worker.url,
    role: 'app_worker',
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
// Temporal's native runtime would keep the process alive where nothing was replayed in it. First everything is said.
process.stderr.write('', () => process.stdout.write('', () => process.exit()));
