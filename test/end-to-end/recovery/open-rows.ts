import { loadApiConfig } from '../../../config/settings/api.ts';
import { insertCase } from '../../support/operators.ts';
import { reserve } from '../../../database/queries/deposits.ts';
import { inTransaction } from '../../../database/pool.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';
import type { RelayTimes } from '../../../intake/relay/relay.ts';
import { type MemoryLog, ordersAtProvider, workflowStatus } from '../../api/evidence.ts';
import { order as buildOrder, paid, reservation } from '../../support/builders.ts';
import { endByHand, plain, startByHand } from '../../support/workflows/by-hand.ts';
import type { Engine } from '../../support/engine.ts';
import { insertBound } from '../../support/messages/inbox.ts';
import { until } from '../../support/until.ts';

/** A relay with short intervals. */
export const QUICK: RelayTimes = { everyMs: 100, freshMs: 500, againMs: 1_000, unstartedMs: 300, lagMs: 300 };

/** States of {@link write} with a payment; the engine itself never writes the last three. */
const PAID = ['IN_REVIEW', 'paid', 'without case', 'case closed', 'settled by nothing'];

export interface Owned {
  readonly state: string;
  /** The status of the workflow under the deposit's own id. */
  readonly workflow: string | null;
  /** Reasons of its open cases. */
  readonly cases: readonly string[];
  readonly held: string | null;
  readonly alarms: readonly string[];
  readonly orders: number;
}

/** Writes rows by hand and workflows that ended otherwise; reads the owner of each row. */
export function openRows(engine: Engine) {
  const { owner } = engine.db;
  const payerNameKey = loadApiConfig(engine.env).keys.rings.payerName.current;
  const statusOf = (n: string) => workflowStatus(engine, depositWorkflowId(n));

  async function deleted(n: string): Promise<void> {
    await engine.client.workflowService.deleteWorkflowExecution({
      namespace: engine.temporal.namespace,
      workflowExecution: { workflowId: depositWorkflowId(n) },
    });
  }

  /** A workflow under the deposit's id that ended in this way, or is deleted again; no worker polls its queue. */
  async function past(n: string, how: string): Promise<void> {
    if (how === 'never started') return;
    const taskQueue = await startByHand(engine.client, 'deposit', depositWorkflowId(n));
    if (how === 'terminated') {
      await engine.client.workflow.getHandle(depositWorkflowId(n)).terminate('by hand');
    } else if (how === 'deleted') {
      await deleted(n);
      await until('it to be gone', async () => (await statusOf(n)) === null);
    } else {
      const result = how === 'failed' ? 'failed' : plain({ state: 'UNPAID', postingId: null });
      await endByHand(engine.client, taskQueue, result);
    }
  }

  /** Writes a row in this state, whatever happened to its workflow. */
  async function write(n: string, state: string): Promise<void> {
    const order = buildOrder({ externalOrderNumber: n });
    await inTransaction(owner, async (client) => {
      await reserve(client, reservation(order, {}, payerNameKey));
      if (state === 'PLACING') return;
      await client.query('set local session_replication_role = replica');
      const shown = PAID.includes(state) ? 'AWAITING_PAYMENT' : state;
      const answer =
        shown === 'PLACEMENT_UNKNOWN'
          ? { kind: 'unknown', cause: 'no answer' }
          : { kind: 'placed', redirectUrl: 'https://pay.example/1', advertisementCode: 'AD1', providerTimeMs: null };
      await client.query(
        `insert into engine.placement_attempt (external_order_number, n, deadline, outcome, answer)
       values ($1, 1, clock_timestamp(), $2::jsonb->>'kind', $2)`,
        [n, answer],
      );
      await client.query(
        `update engine.deposit set state = $2, expires_at = clock_timestamp() + interval '1 hour', listening_until = clock_timestamp() + interval '3 days'
        where external_order_number = $1`,
        [n, shown],
      );
      if (shown === state) return;
      const callback = await insertBound(client, paid(order));
      if (state === 'paid') {
        // Its workflow was signaled, so nothing raises it for a while.
        await client.query(
          `update engine.callback set received_at = clock_timestamp() - interval '1 day', raised_at = clock_timestamp() where id = $1`,
          [callback.id],
        );
        return;
      }
      const workflowId = depositWorkflowId(n);
      await client.query('update engine.callback set outcome = $2 where id = $1', [
        callback.id,
        `review:${workflowId}`,
      ]);
      if (state === 'settled by nothing') return;
      await client.query(
        `update engine.deposit set state = 'IN_REVIEW', review_reason = 'LATE' where external_order_number = $1`,
        [n],
      );
      if (state === 'without case') return;
      await insertCase(client, { workflowId, inboxId: callback.id, reason: 'LATE' });
      if (state === 'case closed')
        await client.query(
          `update engine.review_case set closed_at = clock_timestamp(), decision = 'reject', decided_by = 'alice+bob' where workflow_id = $1`,
          [workflowId],
        );
    });
  }

  async function ownerOf(n: string, api: MemoryLog): Promise<Owned> {
    const { rows } = await owner.query<{ state: string; cases: string[]; held: string | null }>(
      `select d.state, coalesce(array_agg(v.reason order by v.reason) filter (where v.workflow_id is not null), '{}') as cases,
            max(coalesce(v.held_by, v.workflow_id)) as held
       from engine.deposit d left join engine.callback c on c.external_order_number = d.external_order_number
       left join engine.review_case v on v.callback = c.id and v.closed_at is null
      where d.external_order_number = $1 group by d.state`,
      [n],
    );
    const { state, cases, held } = rows[0]!;
    return {
      state,
      workflow: await statusOf(n),
      cases,
      held: held === null ? null : await workflowStatus(engine, held),
      // Rows are written after their workflows here, and an API that starts meanwhile misses them.
      alarms: [...new Set(api.alarms(n))].filter((alarm) => alarm !== 'deposit_row_missing').toSorted(),
      orders: await ordersAtProvider(engine, n),
    };
  }

  return { statusOf, deleted, past, write, ownerOf };
}
