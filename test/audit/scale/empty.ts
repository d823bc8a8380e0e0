import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { parseHistory } from '../../../archive/canonical-history.ts';
import { createReplayer } from '../../../audit/histories/replay.ts';

/**
 * A process that replays empty workflows (a start and one signal), each read from text, by the SDK's own replayer
 * (`sdk`) or the audit's (`audit`). Each message gives the count; the reply is the rate per second.
 */
Runtime.install({ logger: new DefaultLogger('ERROR') });
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('./empty-workflow.ts', import.meta.url)),
  logger: new DefaultLogger('ERROR'),
});
const credited = await readFile(new URL('../../histories/v2/credited.json', import.meta.url), 'utf8');
const { events } = JSON.parse(credited) as { readonly events: readonly Record<string, unknown>[] };
const numbered = (eventId: number, change: object = {}) => ({ ...events[eventId - 1], ...change });
/** Parts of a recorded deposit: its start, its signal, the two workflow tasks, its end. */
const text = JSON.stringify({
  events: [
    ...[1, 2, 3, 4].map((id) => numbered(id)),
    numbered(7, { eventId: '5' }),
    numbered(8, { eventId: '6' }),
    numbered(9, { eventId: '7', workflowTaskStartedEventAttributes: { scheduledEventId: '6' } }),
    numbered(10, {
      eventId: '8',
      workflowTaskCompletedEventAttributes: { scheduledEventId: '6', startedEventId: '7' },
    }),
    numbered(14, { eventId: '9', workflowExecutionCompletedEventAttributes: { workflowTaskCompletedEventId: '8' } }),
  ],
});

async function* endless() {
  for (let i = 0; ; i += 1) yield { workflowId: `empty:${i}`, history: parseHistory(text) };
}
const sdk = Worker.runReplayHistories({ workflowBundle: { code } }, endless());
const ours = createReplayer(code);

async function replayOne(i: number): Promise<void> {
  if (process.argv[2] === 'audit') {
    const error = await ours.replay(`empty:${i}`, parseHistory(text));
    if (error !== null) throw error;
    return;
  }
  const { value } = (await sdk.next()) as IteratorYieldResult<{ readonly error?: Error }>;
  if (value.error !== undefined) throw value.error;
}

async function replayMany(many: number): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < many; i += 1) await replayOne(i);
  return many / ((performance.now() - started) / 1_000);
}

process.on('message', (many: number) => {
  void replayMany(many).then((rate) => process.send?.(rate));
});
process.once('disconnect', () => process.exit(0));
