import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { expect, test } from 'vitest';
import { canonicalHistory, parseHistory } from '../../archive/canonical-history.ts';
import { closedRun } from '../../archive/closed-run.ts';
import { HISTORIES, recordedHistories } from '../support/workflows/histories.ts';
import { required } from '../support/database.ts';
import { quietRuntime } from '../support/runtime.ts';

/** The canonical text of a history, and the fields that the chain takes from it. */
quietRuntime();
const histories = await recordedHistories();
const named = (name: string) => histories.find((recorded) => recorded.name === name)!;

/**
 * A second implementation of the same rule: sorted by a replacer, which works for keys that do not look like numbers.
 */
const sortedJson = (value: unknown) =>
  JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );

test('every recorded history has one text: read and written again it is the same, byte for byte', async () => {
  for (const { name, history } of histories) {
    const { text, hash } = canonicalHistory(history);
    expect(canonicalHistory(parseHistory(text)).text, name).toBe(text);
    expect(hash.equals(createHash('sha256').update(text).digest()), name).toBe(true);
    const file = JSON.parse(await readFile(join(HISTORIES, `${name}.json`), 'utf8')) as unknown;
    expect(text, name).toBe(sortedJson(file));
  }
});

test('the order of keys in what a server sends changes nothing; a single character of a payload does', () => {
  const { history } = named('v2/credited');
  const { text, hash } = canonicalHistory(history);
  const turned = JSON.parse(text, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toReversed())
      : member,
  ) as unknown;
  expect(canonicalHistory(parseHistory(JSON.stringify(turned))).hash.equals(hash)).toBe(true);
  const changed = parseHistory(text.replace('"identity":"', '"identity":"x'));
  expect(canonicalHistory(changed).hash.equals(hash)).toBe(false);
});

test('keys that look like numbers are sorted as text', () => {
  const fields = { 10: { data: 'AA==' }, 9: { data: 'AA==' }, a: { data: 'AA==' } };
  const { history } = named('v2/credited');
  const edited = JSON.parse(canonicalHistory(history).text) as { events: Record<string, unknown>[] };
  Object.assign(edited.events[0]!['workflowExecutionStartedEventAttributes'] as object, { header: { fields } });
  const { text } = canonicalHistory(parseHistory(JSON.stringify(edited)));
  expect(text).toContain('"header":{"fields":{"10":{"data":"AA=="},"9":{"data":"AA=="},"a":{"data":"AA=="}}}');
});

test('a text replays like the history it was made from', async () => {
  const { history, workflowId } = named('v2/decided-credit');
  const { text } = canonicalHistory(history);
  await Worker.runReplayHistory(
    { workflowBundle: { codePath: required('TEST_WORKFLOW_BUNDLE') } },
    parseHistory(text),
    workflowId,
  );
});

test('what is no history is refused', () => {
  expect(() => parseHistory('{"events":1}')).toThrow(TypeError);
  expect(() => parseHistory(randomBytes(4).toString('hex'))).toThrow();
});

test('a closed run says how and when it ended and which code decided it last', () => {
  const { history } = named('v2/credited');
  const last = history.events!.at(-1)!.eventTime!;
  const buildId = JSON.stringify(history).match(/@temporalio\/worker@1\.24\.0\+([0-9a-f]{64})/)![1]!;
  expect(closedRun(history)).toEqual({
    workflowType: 'deposit',
    status: 'COMPLETED',
    closedAtUs: BigInt(String(last.seconds)) * 1_000_000n + BigInt(Math.floor(last.nanos! / 1_000)),
    events: history.events!.length,
    bundleHash: Buffer.from(buildId, 'hex'),
    sdk: '@temporalio/worker@1.24.0',
  });
});

test('an open run is no closed run, and one that no worker ever saw has no code', () => {
  const { history } = named('v2/credited');
  expect(closedRun({ events: history.events!.slice(0, -1) })).toBeNull();
  expect(closedRun({ events: [] })).toBeNull();
  const terminated = {
    eventTime: { seconds: 1 as never, nanos: 1_999 },
    workflowExecutionTerminatedEventAttributes: {},
  };
  expect(closedRun({ events: [history.events![0]!, terminated] })).toMatchObject({
    status: 'TERMINATED',
    closedAtUs: 1_000_001n,
    bundleHash: null,
    sdk: '',
  });
});
