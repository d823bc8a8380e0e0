import { pino } from 'pino';
import { loadSandboxConfig, SandboxConfigError } from './config.ts';
import { PLACEMENT_PATH, type Sandbox, startSandbox } from './server.ts';

/** Turns the usual reasons of a failed start into a sentence; returns any other error unchanged. */
function startProblem(error: unknown): unknown {
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
  if (!(first instanceof Error)) return error;
  const { code, syscall, address = '', port } = first as NodeJS.ErrnoException & { address?: string; port?: number };
  const place = `${address}${port === undefined ? '' : `:${port}`}`;
  if (syscall === 'listen' || syscall === 'getaddrinfo') {
    const reason = code === 'EADDRINUSE' ? 'another program listens there' : first.message;
    return `The sandbox cannot listen at ${place || 'that address'}: ${reason}. End it, or set SANDBOX_LISTEN to another address.`;
  }
  if (syscall === 'connect')
    return `The sandbox reaches no PostgreSQL at ${place} (${code}): DATABASE_URL_SANDBOX says where.`;
  return 'severity' in first ? `PostgreSQL refuses the sandbox: ${first.message} (${code}).` : error;
}

/** Prints generated secrets once, for the user who started the sandbox; they are never logged. */
function showGenerated(sandbox: Sandbox, controlTokenIsGenerated: boolean): void {
  if (sandbox.keyPairIsGenerated) {
    console.error(
      `Made for you, shown only now:\n  access key  ${sandbox.accessKey}\n  secret key  ${sandbox.secretKey}`,
    );
  }
  if (controlTokenIsGenerated) {
    console.error(`Control token for this run: ${sandbox.controlToken}`);
  }
  if (sandbox.newConsolePassword !== null) {
    console.error(`Password of the console, shown only now: ${sandbox.newConsolePassword}`);
  }
  if (sandbox.caFile !== null) {
    console.error(`Clients trust the certificate by ${sandbox.caFile} (the engine: MTPAY_CA_FILE)`);
  }
  console.error(`Console: ${sandbox.url}/console`);
  console.error(`Placements: POST ${sandbox.url}${PLACEMENT_PATH}`);
}

try {
  const config = loadSandboxConfig();
  const logger = pino({ name: 'sandbox', level: config.logLevel });
  const sandbox = await startSandbox(config, logger);
  // Lines for people come first, then the log.
  showGenerated(sandbox, config.controlTokenIsGenerated);
  logger.info({ url: sandbox.url }, 'sandbox listening');
  const stop = (): void => {
    sandbox.close().catch((error: Error) => {
      console.error(error);
      process.exitCode = 1;
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (error) {
  console.error(error instanceof SandboxConfigError ? error.message : startProblem(error));
  process.exitCode = 1;
}
