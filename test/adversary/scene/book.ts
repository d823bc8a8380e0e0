import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { withClient } from '../../../database/pool.ts';
import { registerSealKey } from '../../../database/queries/seal-macs.ts';
import { cloneTemplate } from '../../support/database.ts';
import { type Engine, launchEngine } from '../../support/engine.ts';
import { testSealKey } from '../../support/seals.ts';
import type { Ground } from '../../attack/ground/world.ts';
import { archiveAll } from '../../audit/book.ts';
import { type Prepared, prepare } from '../verdict/look.ts';
import { startProvider } from './provider.ts';
import {
  createStage,
  readSubject,
  type Scene,
  type Situation,
  SITUATIONS,
  type Stage,
  type Subject,
  WITHOUT_WORKER,
} from './scene.ts';

/** An engine's database with one of each situation in it; no process works on it any more. */
export interface AdversaryBook {
  readonly engine: Engine;
  readonly stage: Stage;
  readonly scene: Scene;
  readonly prepared: Prepared;
  /** Returns the address of a copy of the database. */
  copy(): Promise<string>;
  stop(): Promise<void>;
}

/** `registered`: whether the database knows the key of the API's seals, as it should. */
export async function writeBook(
  ground: Ground,
  {
    situations = SITUATIONS,
    registered = true,
  }: { readonly situations?: readonly Situation[]; readonly registered?: boolean } = {},
): Promise<AdversaryBook> {
  const provider = await startProvider();
  const { db, drop } = await cloneTemplate(ground.postgresUrl);
  const { engine, stop } = await launchEngine(db, ground.workflowBundle, { provider: provider.url });
  if (registered) await registerSealKey(db.owner, testSealKey);
  const stage = createStage(engine, provider);
  const orders = new Map<Situation, string>();
  const make = async (these: readonly Situation[]) => {
    for (const [i, order] of (await stage.makeAll(these)).entries()) orders.set(these[i]!, order);
  };
  const isLast = (one: Situation) => one === 'fresh' || WITHOUT_WORKER.has(one);
  await make(situations.filter((one) => !isLast(one)));
  await archiveAll(engine);
  await make(situations.filter(isLast));
  await engine.stopWorker();
  await engine.api.close();
  const subjects = await Promise.all([...orders].map(([situation, order]) => readSubject(db.owner, situation, order)));
  const scene = Object.fromEntries(
    subjects.map((subject): [Situation, Subject] => [subject.situation, subject]),
  ) as Scene;
  const code = await readFile(ground.workflowBundle, 'utf8');
  const prepared = await prepare(db.url, engine.client, code, linksOf(provider.url));
  const copies: string[] = [];
  return {
    engine,
    stage,
    scene,
    prepared,
    async copy() {
      const name = `adversary_${randomBytes(6).toString('hex')}`;
      const original = new URL(db.url).pathname.slice(1);
      copies.push(name);
      await withClient({ connectionString: ground.postgresUrl }, async (admin) => {
        await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [original]);
        await admin.query(`create database ${name} template ${original}`);
      });
      const url = new URL(db.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    async stop() {
      await stop();
      await provider.close();
      await drop();
      await withClient({ connectionString: ground.postgresUrl }, async (admin) => {
        for (const name of copies) await admin.query(`drop database if exists ${name} with (force)`);
      });
    },
  };
}

const linksOf = (url: string) => {
  const { host } = new URL(url);
  return { redirectHosts: [host], plainHttpHosts: [host] };
};
