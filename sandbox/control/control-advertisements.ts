import { Router } from 'express';
import type pg from 'pg';
import {
  advertisementPatchSchema,
  changeAdvertisement,
  createAdvertisement,
  listAdvertisements,
  newAdvertisementSchema,
} from '../orders/advertisements.ts';
import { ControlError } from './control-error.ts';
import type { Settings } from '../settings.ts';

const CHECK_VIOLATION = '23514';

/** `/control/advertisements`: the sellers' offers. An offer cannot be deleted, because orders refer to it. */
export function advertisementRoutes(pool: pg.Pool, settings: () => Settings): Router {
  const router = Router();
  router.get('/', async (_request, response) => {
    response.json({ advertisements: await listAdvertisements(pool, settings().prices) });
  });
  router.post('/', async (request, response) => {
    const offer = newAdvertisementSchema.parse(request.body);
    response.status(201).json(await consistent(createAdvertisement(pool, settings().prices, offer)));
  });
  router.patch('/:code', async (request, response) => {
    const patch = advertisementPatchSchema.parse(request.body);
    const { code } = request.params;
    const changed = await consistent(changeAdvertisement(pool, settings().prices, code, patch));
    if (changed === null) throw new ControlError(404, `there is no advertisement ${code}`);
    response.json(changed);
  });
  return router;
}

/** Turns the database's check of both limits into a control error: a change names only one of them. */
async function consistent<T>(change: Promise<T>): Promise<T> {
  return change.catch((error: Error & { code?: string }) => {
    throw error.code === CHECK_VIOLATION ? new ControlError(400, 'minPrice must not exceed maxPrice') : error;
  });
}
