import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../local/servers/ports.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { bundleWorkflows } from '../../../worker/bundle.ts';
import { cloneTemplate } from '../../support/database.ts';
import { type Engine, launchEngine } from '../../support/engine.ts';
import { migrateTemplate } from '../../support/template.ts';
import { type Recorder, startRecorder } from './recorder.ts';

/** A running engine whose connections to and from the provider are recorded. */
export interface World {
  readonly engine: Engine;
  /** Our requests to the provider: signed headers and bodies with callback addresses in them. */
  readonly placements: Recorder;
  /** The provider's requests to us. */
  readonly callbacks: Recorder;
  stop(): Promise<void>;
}

/** A Postgres and a workflow bundle that the caller has started, as the test suite has. */
export interface Ground {
  readonly postgresUrl: string;
  readonly workflowBundle: string;
}

/** MTC above which nothing is credited here, so that the cap can be tried. */
export const CREDIT_CAP = '60000';
/** Short, so that late payments are part of every run. */
const PAYMENT_WINDOW = '10s';

/** Starts everything of its own: database, Temporal, sandbox, worker, API. */
export async function startWorld(given?: Ground): Promise<World> {
  const own = given === undefined ? await prepareGround() : null;
  const ground = given ?? own!.ground;
  const { db, drop } = await cloneTemplate(ground.postgresUrl);
  const [placements, callbacks, sandboxPort] = [await startRecorder(), await startRecorder(), await freePort()];
  const { engine, stop } = await launchEngine(db, ground.workflowBundle, {
    env: {
      MTPAY_BASE_URL: placements.url,
      MTPAY_REDIRECT_HOSTS: `127.0.0.1:${sandboxPort}`,
      CALLBACK_BASE_URL: callbacks.url,
      CREDIT_CAP,
      PAYMENT_WINDOW,
    },
    sandboxEnv: { SANDBOX_LISTEN: `127.0.0.1:${sandboxPort}` },
  });
  placements.forwardTo(engine.sandboxUrl!);
  callbacks.forwardTo(engine.api.callbackUrl);
  return {
    engine,
    placements,
    callbacks,
    async stop() {
      await stop();
      await Promise.all([placements.close(), callbacks.close()]);
      await drop();
      await own?.stop();
    },
  };
}

/** A Postgres with the migrated template and the bundled workflows, for one world or many. */
export async function prepareGround(): Promise<{ readonly ground: Ground; readonly stop: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-attack-'));
  const [postgres, bundle] = await Promise.all([
    startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true }),
    bundleWorkflows(),
  ]);
  const workflowBundle = join(folder, 'workflow-bundle.js');
  await writeFile(workflowBundle, bundle);
  await migrateTemplate(postgres.url);
  return {
    ground: { postgresUrl: postgres.url, workflowBundle },
    async stop() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
