import type { Express } from 'express';
import type { Log } from '../telemetry/log.ts';
import type { CallbackReceiver } from '../intake/receive-callback.ts';
import { showMisled } from './callback-app.ts';
import { answerErrors } from './http/errors.ts';
import { createApp, noSuchPath, onlyMethods } from './http/http.ts';

export interface HealthDependencies {
  /** False once the process is stopping: the load balancer then sends no more requests. */
  readonly isAccepting: () => boolean;
  /** Whether the database accepts changes. */
  readonly isDatabaseUp: () => Promise<boolean>;
  /** Examines requests that no route matches. */
  readonly refused: CallbackReceiver['refused'];
  readonly log: Log;
}

/** The private listener of a process that only takes callbacks: `/healthz` and `/readyz`. */
export function createHealthApp({ isAccepting, isDatabaseUp, refused, log }: HealthDependencies): Express {
  const app = createApp();
  app
    .route('/healthz')
    .get((_request, response) => void response.json({ status: 'alive' }))
    .all(onlyMethods('GET'));
  app
    .route('/readyz')
    .get(async (_request, response) => {
      const database = await isDatabaseUp();
      const ready = isAccepting() && database;
      response.status(ready ? 200 : 503).json({ ready, database: database ? 'up' : 'down' });
    })
    .all(onlyMethods('GET'));
  app.use(showMisled(refused), noSuchPath);
  app.use(answerErrors(log));
  return app;
}
