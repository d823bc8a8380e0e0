import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endMisused, readArgumentsOr } from '../../config/command-line.ts';
import { root } from '../docs/variables.ts';
import { prepareDatabase } from '../model/ground.ts';
import { explainer, type Mutant, scoreOf, textOf } from './survivors.ts';
import { optionsOf } from './options.ts';
import { isRoom, ROOMS, type Room } from './rooms.ts';

/**
 * `npm run mutation [-- ROOM…]`: changes the code of a room in every place, one change at a time, and checks whether
 * its tests notice (docs/internals/mutation.md). Exit code 1 when they notice less than 90 of 100, or one survives that
 * the page does not explain.
 */

const LEAST = 90;
const out = join(root, 'test-output/mutation');
/** Installed apart: only this command needs it, and it is as many packages as everything else together. */
const tools = join(root, '.cache/mutation');

const USAGE = `npm run mutation [-- ROOM…]
rooms: ${Object.keys(ROOMS).join(', ')}`;
const rooms = readArgumentsOr(USAGE, {}).positionals;
const unknown = rooms.find((name) => !isRoom(name));
if (unknown !== undefined) endMisused(`There is no room ${JSON.stringify(unknown)}`, USAGE);
const wanted = (rooms.length === 0 ? Object.keys(ROOMS) : rooms) as Room[];

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd = root): Promise<number> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function install(): Promise<void> {
  await mkdir(tools, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', '.npmrc'])
    await copyFile(join(root, 'test/mutation', name), join(tools, name));
  if ((await run('npm', ['ci', '--silent'], {}, tools)) !== 0) throw new Error('npm ci failed');
}

/** Returns the mutants, file by file. */
async function mutate(room: Room): Promise<Readonly<Record<string, { source: string; mutants: readonly Mutant[] }>>> {
  const options = optionsOf(room);
  // Leftovers of an interrupted run.
  await rm(join(root, options.tempDirName), { recursive: true, force: true });
  const config = join(out, `${room}.config.json`);
  await writeFile(config, JSON.stringify(options));
  const stryker = join(tools, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const code = await run(process.execPath, [stryker, 'run', config], { MUTATION_ROOM: room });
  if (code !== 0) throw new Error(`${room}: not tried`);
  const { files } = JSON.parse(await readFile(join(out, `${room}.json`), 'utf8')) as {
    files: Awaited<ReturnType<typeof mutate>>;
  };
  return files;
}

await mkdir(out, { recursive: true });
await install();
const isExplained = explainer(await readFile(join(root, 'docs/internals/mutation.md'), 'utf8'));
const needsDatabase = wanted.some((room) => ROOMS[room].database);
const database = needsDatabase ? await prepareDatabase() : null;
if (database !== null) process.env['TEST_POSTGRES_URL'] = database.url;
const said: string[] = [];
try {
  for (const room of wanted) {
    const files = Object.entries(await mutate(room));
    const { noticed, all, waitedFor, survivors } = scoreOf(files.flatMap(([, { mutants }]) => mutants));
    const open = files.flatMap(([file, { source, mutants }]) =>
      scoreOf(mutants)
        .survivors.filter((mutant) => !isExplained(file, source, mutant))
        .map((mutant) => `${file}:${mutant.location.start.line}: ${textOf(source, mutant)} → ${mutant.replacement}`),
    );
    const score = (100 * noticed) / all;
    said.push(
      `${room}: ${score.toFixed(1)} % of ${all} noticed (${waitedFor} as an endless loop); ${survivors.length} survive, ${open.length} unexplained`,
      ...open.map((line) => `  ${line}`),
    );
    if (score < LEAST || open.length > 0) process.exitCode = 1;
  }
} finally {
  await database?.stop();
  console.log(said.join('\n'));
}
