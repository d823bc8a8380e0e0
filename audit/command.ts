import '../database/command-errors.ts';
import { availableParallelism } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { pino } from 'pino';
import { UsageError } from '../config/command-line.ts';
import { createArchiver } from '../activities/archiving.ts';
import { collectEvidence } from '../archive/evidence.ts';
import { archiveObjects } from '../archive/objects.ts';
import { type AuditDatabases, loadAuditKeys } from '../config/settings/audit.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { loadLinkRules, loadSignatureConfig } from '../config/settings/audit.ts';
import { ConfigError, type DatabaseConfig } from '../config/settings/read-environment.ts';
import { loadSealTrust } from '../config/settings/seals.ts';
import { loadDataConverter, type TemporalConfig } from '../config/temporal.ts';
import { createPool } from '../database/pool.ts';
import type { LinkRules } from '../providers/checkout-link.ts';
import { temporalHistories } from '../worker/temporal-histories.ts';
import { engineVersion } from '../worker/version.ts';
import { workflowSource } from '../worker/workflow-source.ts';
import { audit } from './run/coordinator.ts';
import { readExceptions } from './exceptions.ts';
import { openFiles, writeReport } from './report/files.ts';
import { openSigner } from './report/machine-key.ts';
import { fetchOpen } from './run/open-work.ts';
import { quietRuntime } from './histories/runtime-log.ts';
import { type AuditCommand, parseCommand, AUDIT_USAGE } from './audit-arguments.ts';
import { inSession } from './tables/session.ts';
import { headsOf, verifyReport } from './report/verify.ts';
import { visible } from '../encoding/visible.ts';
import '../config/broken-pipe.ts';

/** The audit as a command: proves every credit, or names those that it cannot prove. */

/**
 * The servers of an audit, with its logins. Without an archiver, histories that are not archived are read from
 * Temporal.
 */
export interface AuditPlace extends AuditDatabases {
  readonly temporal: TemporalConfig;
  /** The public half of the seal key of this machine's own API, where it has one; settings take precedence. */
  readonly sealPublicKey: string | null;
  /** Allowed hosts of checkout links on this machine's own stack, where there is one; settings take precedence. */
  readonly links?: LinkRules;
  /** The file of the key that the audit makes where no signing key is set. */
  readonly machineKeyFile: string;
  /** Ends the servers that were started for this audit. */
  stop(): Promise<void>;
}

const say = (line: string) => console.error(line);
const show = (line: string) => console.log(line);

/**
 * Runs an audit command and returns the exit code. `reach` connects, and is called only after the options were parsed.
 * - 0: nothing is unexplained.
 * - 1: something is unexplained, or the audit could not finish.
 * - 2: options or settings are invalid.
 */
async function auditCommand(args: readonly string[], reach: () => Promise<AuditPlace>): Promise<number> {
  quietRuntime();
  if (args.includes('--help') || args.includes('-h')) {
    show(AUDIT_USAGE);
    return 0;
  }
  try {
    if (args[0] === 'verify') {
      if (args.length > 2) throw new UsageError(`${args[2]} is too much`);
      const { publicKey } = loadAuditKeys({ toSign: false });
      return await verifyReport(args[1], { pinned: publicKey, say: show });
    }
    return await run(parseCommand(args, process.env), reach);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError)) throw error;
    say(error instanceof UsageError ? `${error.message}\n\n${AUDIT_USAGE}` : error.message);
    return 2;
  }
}

async function run(command: AuditCommand, reach: () => Promise<AuditPlace>): Promise<number> {
  const env = process.env;
  tellMisspelt(say, env);
  const keys = loadAuditKeys({ toSign: true }, env);
  const exceptions = await readExceptions(command.exceptions);
  const dataConverter = loadDataConverter(env);
  const signatures = loadSignatureConfig(env);
  const given = loadLinkRules(env);
  const place = await reach();
  const { auditor, archiver, temporal } = place;
  const links = given ?? place.links;
  const open = openFiles(command.out);
  let connection: Connection | undefined;
  try {
    const signer = openSigner(keys, place.machineKeyFile);
    const sealTrust = loadSealTrust(place.sealPublicKey, env);
    connection = await Connection.connect(temporal.connectionOptions ?? {});
    const client = new Client({ connection, namespace: temporal.namespace, dataConverter });
    const archiveDirectory = env['ARCHIVE_DIRECTORY'] === '' ? undefined : env['ARCHIVE_DIRECTORY'];
    if (archiver !== null) await archiveFirst(archiver, client, archiveDirectory);
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
        sealTrust,
        signatures,
        ...(links === undefined ? {} : { links }),
        processes: command.processes ?? availableParallelism(),
        ...(command.after === null ? {} : await headsOf(command.after, keys.publicKey)),
        progressKey: signer.key,
        files: open,
        tell: say,
      },
      command,
    );
    const { report } = finished;
    if (command.deposit !== null) await tellEvidence(auditor, client, dataConverter, archiveDirectory, command.deposit);
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
    await connection?.close();
    await place.stop();
  }
}

/** Prints the evidence of one deposit, before the names of the files. */
async function tellEvidence(
  auditor: DatabaseConfig,
  client: Client,
  dataConverter: DataConverter,
  directory: string | undefined,
  externalOrderNumber: string,
): Promise<void> {
  const codecs = dataConverter.payloadCodecs ?? [];
  const lines = await inSession(auditor, (db) => {
    const objects = archiveObjects(db, directory);
    const open = (workflowId: string) => fetchOpen(client, workflowId);
    return collectEvidence({ db, objects, codecs, fetchOpen: open }, externalOrderNumber);
  });
  if (lines === null) throw new UsageError(`there is no deposit ${externalOrderNumber}`);
  for (const { at, source, text, hash } of lines) show(`${at}  ${hash.slice(0, 12)}  ${visible(`${source}: ${text}`)}`);
}

/** Archives workflows that closed recently, before the archive is audited. */
export async function archiveFirst(
  archiver: DatabaseConfig,
  client: Client,
  directory: string | undefined,
): Promise<void> {
  const pool = createPool({
    url: archiver.url,
    role: 'archiver',
    applicationName: 'deposit-audit-archive',
    max: 4,
  });
  try {
    const { archiveClosed } = createArchiver({
      pool,
      histories: temporalHistories(client),
      objects: archiveObjects(pool, directory),
      version: engineVersion(),
      // The log goes to standard error, because standard output has only the paths of the report.
      log: pino({ level: 'error', base: { part: 'audit' } }, { write: (line: string) => say(line.trimEnd()) }),
    });
    for (let archived = 1; archived > 0; ) ({ archived } = await archiveClosed(200));
  } finally {
    await pool.end();
  }
}

/** Runs {@link auditCommand} with the arguments of the process, and ends the process. */
export async function auditProcess(reach: () => Promise<AuditPlace>): Promise<void> {
  process.exitCode = await auditCommand(process.argv.slice(2), reach);
  // Temporal's native runtime would keep the process alive where nothing was replayed in it. The output is flushed
  // first.
  process.stderr.write('', () => process.stdout.write('', () => process.exit()));
}
