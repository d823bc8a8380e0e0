import type { Client } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { expect, test } from 'vitest';
import { wakeOutdated } from '../../intake/restored.ts';
import { reserved } from '../ledger/payments.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { seal } from '../support/seals.ts';
import { memoryLog } from './evidence.ts';

/**
 * Workflows that still run although their rows have ended are signaled to look again: each of them, even if another
 * signal fails.
 */
const db = await createTestDatabase();

/** The parts of Temporal that are used here: these workflows run, and signals to `fails` are rejected. */
function running(workflowIds: readonly string[], fails: readonly string[]) {
  const told: string[] = [];
  const of = (type: string) => workflowIds.filter((id) => id.startsWith(`${type}:`));
  const client = {
    withDeadline: (_: number, work: () => Promise<unknown>) => work(),
    workflow: {
      async *list({ query }: { query: string }) {
        for (const workflowId of of(/'(\w+)'/.exec(query)![1]!)) yield await Promise.resolve({ workflowId });
      },
      getHandle: (workflowId: string) => ({
        signal: async () => {
          if (fails.includes(workflowId)) throw new Error('its history has too many events');
          told.push(workflowId);
          return Promise.resolve();
        },
      }),
    },
  };
  return { client: client as unknown as Client, told };
}

test('one that cannot be told hides no other; it is told of in the end', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 3; i += 1) ids.push((await reserved(db.owner)).externalOrderNumber);
  await byHand(
    db.owner,
    `update engine.deposit set state = 'REJECTED', closed_at = now() - interval '1 hour' where external_order_number = any($1)`,
    [ids],
  );
  const workflows = ids.map((n) => `deposit:${n}`);
  const { client, told } = running([...workflows, 'deposit:lost'], [workflows[0]!]);
  const memory = memoryLog();
  const waking = wakeOutdated({ pool: db.owner, client, seal, log: memory.log }, 1_000, new AbortController().signal);
  await expect(waking).rejects.toThrow('too many events');
  expect(told.toSorted()).toEqual(workflows.slice(1).toSorted());
  expect(memory.fields('deposit_row_missing')).toHaveLength(1);
});

test('a case that is opened anew asks Temporal for nothing without a deadline', async () => {
  const { externalOrderNumber } = await reserved(db.owner);
  await db.owner.query('insert into engine.restored default values');
  const asked: string[] = [];
  let isTimed = false;
  const call = <T>(name: string, answer: T) => {
    asked.push(isTimed ? name : `${name} without a deadline`);
    return Promise.resolve(answer);
  };
  const input = { payloads: [defaultPayloadConverter.toPayload({ externalOrderNumber, inboxId: '1' })] };
  const history = { events: [{ workflowExecutionStartedEventAttributes: { input } }] };
  const { client } = running(['review:1-00000000'], []);
  Object.assign(client, {
    withDeadline: (_: number, work: () => Promise<unknown>) => {
      isTimed = true;
      const answer = work();
      isTimed = false;
      return answer;
    },
    options: { loadedDataConverter: { payloadCodecs: [] } },
  });
  Object.assign(client.workflow, {
    start: () => call('start', undefined),
    getHandle: () => ({
      describe: () => call('describe', { startTime: new Date(0) }),
      fetchHistory: () => call('fetchHistory', history),
      terminate: () => call('terminate', undefined),
    }),
  });
  const memory = memoryLog();
  await wakeOutdated({ pool: db.owner, client, seal, log: memory.log }, 1_000, new AbortController().signal);
  expect(asked).toEqual(['describe', 'fetchHistory', 'start', 'terminate']);
  expect(memory.fields('case_rebuilt')).toHaveLength(1);
});
