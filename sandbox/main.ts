import { loadSandboxConfig, SandboxConfigError } from './config.ts';
import { PLACEMENT_PATH, type Sandbox, startSandbox } from './server.ts';

/** Secrets nobody has chosen are shown once, to whoever started the sandbox, and never logged. */
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
  const sandbox = await startSandbox(config);
  showGenerated(sandbox, config.controlTokenIsGenerated);
  const stop = (): void => {
    sandbox.close().catch((error: Error) => {
      console.error(error);
      process.exitCode = 1;
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (error) {
  console.error(error instanceof SandboxConfigError ? error.message : error);
  process.exitCode = 1;
}
