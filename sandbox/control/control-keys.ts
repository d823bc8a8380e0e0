import { Router } from 'express';
import type pg from 'pg';
import { z } from 'zod';
import { ControlError } from './control-error.ts';
import { createKey, disableKey, listKeys, rotateKeys } from '../keys.ts';

const rotateBody = z.strictObject({
  overlapMs: z
    .int()
    .min(0)
    .max(366 * 86_400_000)
    .default(0),
});

/** `/control/keys`: the merchant's API tokens. Only the response that creates a key contains its secret. */
export function keyRoutes(pool: pg.Pool): Router {
  const router = Router();
  router.get('/', async (_request, response) => {
    response.json({ keys: await listKeys(pool) });
  });
  router.post('/', async (_request, response) => {
    response.status(201).json(await createKey(pool));
  });
  router.post('/rotate', async (request, response) => {
    const { overlapMs } = rotateBody.parse(request.body ?? {});
    response.status(201).json(await rotateKeys(pool, overlapMs));
  });
  router.post('/:accessKey/disable', async (request, response) => {
    const { accessKey } = request.params;
    if (!(await disableKey(pool, accessKey))) throw new ControlError(404, 'no key in force has this access key');
    response.json({ accessKey, state: 'disabled' });
  });
  return router;
}
