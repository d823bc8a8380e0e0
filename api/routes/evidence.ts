import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { collectEvidence } from '../../archive/evidence.ts';
import { archiveObjects } from '../../archive/objects.ts';
import { isGone } from '../../archive/history-source.ts';
import { deliveriesOf } from '../../database/queries/notifications/deliveries.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import { mayUse } from '../../database/queries/api-keys.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import { inTime } from '../../intake/start-workflow.ts';
import { bind, type Bound } from '../http/operation-route.ts';
import type { EventType } from '../../contract/events.ts';
import { readEvidenceOperation } from '../../contract/deposits.ts';

export interface EvidenceRouteDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
  readonly archiveDirectory: string | undefined;
}

/** Everything that is stored about a deposit, for callers that may audit (docs/guides/audit.md). */
export const bindEvidence = (deps: EvidenceRouteDependencies): Bound =>
  bind(readEvidenceOperation, async ({ params: { externalOrderNumber }, caller }, respond) => {
    const deposit = await findDeposit(deps.pool, externalOrderNumber);
    if (deposit === null || !mayUse(caller, deposit.wallet)) {
      throw new RequestRefused('not_found', `no deposit ${externalOrderNumber}`);
    }
    const lines = await collectEvidence(
      {
        db: deps.pool,
        objects: archiveObjects(deps.pool, deps.archiveDirectory),
        codecs: deps.client.options.loadedDataConverter.payloadCodecs,
        fetchOpen: (workflowId) => fetchOpen(deps.client, workflowId),
      },
      externalOrderNumber,
    );
    const deliveries = await deliveriesOf(deps.pool, externalOrderNumber);
    return respond(200, {
      externalOrderNumber,
      lines: [...(lines ?? [])],
      deliveries: deliveries.map(({ type, settledAt, attempts, ...delivery }) => ({
        ...delivery,
        type: type as EventType,
        settledAt: settledAt?.toISOString() ?? null,
        attempts: [...attempts],
      })),
    });
  });

async function fetchOpen(client: Client, workflowId: string) {
  try {
    return await inTime(client, () => client.workflow.getHandle(workflowId).fetchHistory());
  } catch (error) {
    if (isGone(error)) return null;
    const detail = 'the history could not be read; the same request may be repeated';
    throw new RequestRefused('unavailable', detail, { cause: error });
  }
}
