import { startGenuine } from '../messages/genuine.ts';
import { createRandom } from '../random.ts';
import type { Arena } from '../series.ts';
import type { Roster } from './evidence.ts';
import { createVictim, settle, SHAPES } from './victims.ts';
import { createWire } from './wire.ts';
import type { World } from './world.ts';

/** One unpaid and one paid deposit of each mode and currency, and honest traffic that goes on beside the attack. */
export async function createGenuineArena(world: World, seed: number): Promise<Arena> {
  const random = createRandom(seed);
  const wire = createWire({ callback: world.engine.api.callbackUrl, api: world.engine.api.apiUrl });
  const open = await Promise.all(SHAPES.map((shape) => createVictim(world, shape)));
  const settled = await Promise.all(SHAPES.map(async (shape) => settle(world, await createVictim(world, shape))));
  const roster: Roster = { open, settled, controls: 0, created: open.length + settled.length };
  const genuine = await startGenuine(world, wire, roster, createRandom(seed + 1));
  return { world, wire, genuine, roster, random, unauthorized: new Set() };
}
