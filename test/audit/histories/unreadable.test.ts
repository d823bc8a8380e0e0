import { randomBytes } from 'node:crypto';
import type { PayloadCodec } from '@temporalio/common';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalHistory, isCanonical } from '../../../archive/canonical-history.ts';
import { type HistoryFacts, HistoryUnreadable, readHistory, readText } from '../../../archive/history.ts';
import { compareBooks, explainedBy, inboxIdsIn, subjectOf } from '../../../audit/histories/compare.ts';
import { type DepositRecord, type Records, readRecords } from '../../../audit/tables/rows.ts';
import { shapeFaults } from '../../../audit/histories/history-shapes.ts';
import { createPayloadCodec, type PayloadKeys } from '../../../encoding/payload-codec.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { createTestDatabase } from '../../support/database.ts';
import { recordedHistories } from '../../support/workflows/histories.ts';

const compareHistory = (...of: Parameters<typeof compareBooks>) => compareBooks(...of).map(({ finding }) => finding);

/** Arbitrary content in place of a history: the audit reports the fault, and no other check fails. */
const recorded = await recordedHistories();
const named = (name: string) => recorded.find((one) => one.name === name)!.history;
const textOf = (name: string) => canonicalHistory(named(name)).text;

const encoded = (text: string) => Buffer.from(text).toString('base64');
const JSON_PLAIN = encoded('json/plain');
/** The first payload of a history with another content, or another encoding. */
const withPayload = (data: string, encoding = JSON_PLAIN) =>
  textOf('v2/credited').replace(
    /"data":"[^"]+","metadata":\{"encoding":"[^"]+"\}/g,
    `"data":"${data}","metadata":{"encoding":"${encoding}"}`,
  );

describe('a text that is no history of ours', () => {
  const TEXTS: readonly (readonly [string, string, RegExp])[] = [
    ['nothing', '', /the text is no history/],
    ['no JSON', '{"events":[', /the text is no history/],
    ['no events', '{}', /the text is no history/],
    ['an empty list', '{"events":[]}', /does not begin with the start/],
    ['another value', 'null', /the text is no history/],
    ['events that are none', '{"events":[5,null]}', /the text is no history/],
    ['an event without facts', '{"events":[{"eventId":"1"}]}', /the text is no history/],
    ['a payload that is not base64', withPayload('%%%'), /the text is no history/],
    ['a payload that is not JSON', withPayload(encoded('{"a":')), /event \d+: a payload is not JSON/],
    [
      'a payload that is not UTF-8',
      withPayload(Buffer.from([0x22, 0xff, 0x22]).toString('base64')),
      /not JSON in UTF-8/,
    ],
    ['a payload of another encoding', withPayload(encoded('x'), encoded('binary/plain')), /is binary\/plain, not JSON/],
    ['a payload without an encoding', withPayload(encoded('x'), ''), /without an encoding, not JSON/],
    ['an encrypted payload', withPayload(encoded('x'), encoded('binary/encrypted')), /encrypted, and there is no key/],
    [
      'a time that is none',
      textOf('v2/credited').replace(/"eventTime":"[^"]+"/, '"eventTime":"soon"'),
      /the text is no history|event \d+ has no time/,
    ],
  ];
  test.each(TEXTS)('is told as what it is: %s', async (_, text, message) => {
    await expect(readText(text, [])).rejects.toThrow(HistoryUnreadable);
    await expect(readText(text, [])).rejects.toThrow(message);
  });

  test('is told whichever byte of a history is another', async () => {
    const text = textOf('v2/decided-credit');
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 1), fc.string({ minLength: 0, maxLength: 2 }), async (at, put) => {
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        const read = await readText(changed, []).catch((error: unknown) => error);
        if (read instanceof Error) expect(read).toBeInstanceOf(HistoryUnreadable);
        else compareHistory((read as { facts: HistoryFacts }).facts, EMPTY);
      }),
      { numRuns: 300 },
    );
  });
});

describe('an encrypted history', async () => {
  const keys = (...all: string[]) => all.map((key) => new Secret(Buffer.from(key))) as unknown as PayloadKeys;
  const codec = createPayloadCodec(keys('a'.repeat(32)));
  const encrypted = await encryptedWith(codec);

  test('is read with its key', async () => {
    const { facts } = await readText(encrypted, [codec]);
    expect(facts).toEqual(readHistory(named('v2/credited')));
  });

  test('says that there is no key, that it is another, or that what it opens was changed', async () => {
    const reads = (text: string, ...codecs: PayloadCodec[]) => expect(readText(text, codecs)).rejects;
    await reads(encrypted).toThrow('encrypted, and there is no key');
    await reads(encrypted, createPayloadCodec(keys('b'.repeat(32)))).toThrow(/key [0-9a-f]{8}, which is not here/);
    const changed = encrypted.replace(/"data":"[^"]+"/, `"data":"${randomBytes(60).toString('base64')}"`);
    await reads(changed, codec).toThrow(/a payload of key [0-9a-f]{8} was changed/);
    await reads(changed, codec).toThrow(HistoryUnreadable);
  });
});

/** The same history as stored on a server whose clients encrypt. */
async function encryptedWith(codec: PayloadCodec): Promise<string> {
  const encrypt = async (value: unknown): Promise<unknown> => {
    if (Array.isArray(value)) return Promise.all(value.map(encrypt));
    if (typeof value !== 'object' || value === null) return value;
    const { data, metadata } = value as { data?: string; metadata?: Record<string, string> };
    if (metadata?.['encoding'] === undefined) {
      const entries = Object.entries(value).map(async ([name, item]) => [name, await encrypt(item)] as const);
      return Object.fromEntries(await Promise.all(entries));
    }
    const bytes = (text: string | undefined) => Buffer.from(text ?? '', 'base64');
    const [payload] = await codec.encode([{ data: bytes(data), metadata: { encoding: bytes(metadata['encoding']) } }]);
    const texts = Object.entries(payload!.metadata!).map(([name, item]) => [
      name,
      Buffer.from(item).toString('base64'),
    ]);
    return { data: Buffer.from(payload!.data!).toString('base64'), metadata: Object.fromEntries(texts) };
  };
  const plain = JSON.parse(textOf('v2/credited')) as { events: Record<string, unknown>[] };
  // Search attributes stay as they are: the server reads them.
  const events = plain.events.map(async (event) => {
    const started = event['workflowExecutionStartedEventAttributes'] as Record<string, unknown> | undefined;
    const clear = started?.['searchAttributes'];
    const upsert = event['upsertWorkflowSearchAttributesEventAttributes'];
    if (upsert !== undefined) return event;
    const done = (await encrypt(event)) as Record<string, Record<string, unknown>>;
    if (clear !== undefined) done['workflowExecutionStartedEventAttributes']!['searchAttributes'] = clear;
    return done;
  });
  return JSON.stringify({ events: await Promise.all(events) });
}

const EMPTY: Records = {
  deposits: new Map(),
  callbacks: new Map(),
  postings: new Map(),
  cases: new Map(),
  steps: new Map(),
  carried: new Map(),
  stated: new Map(),
  refused: new Map(),
  named: new Map(),
  attempts: new Map(),
  outcomes: new Map(),
  codes: new Map(),
  restoredAt: null,
};

describe('a history whose facts have another shape', () => {
  // Histories of archiving move no money, and are not archived themselves.
  const ours = recorded.filter(({ workflowId }) => /^(deposit|review):/.test(workflowId));
  test.each(ours.map((one) => [one.name, one] as const))('none of ours: %s', (_, { history }) => {
    expect(shapeFaults(readHistory(history))).toEqual([]);
  });

  type Change = (facts: Record<string, any>) => void; // oxlint-disable-line typescript/no-explicit-any -- what somebody else wrote
  const SHAPES: readonly (readonly [string, Change, string])[] = [
    ['no input', (facts) => (facts['input'] = null), 'input: '],
    ['another input', (facts) => (facts['input'] = 'order-1001'), 'input: '],
    ['no settings', (facts) => delete facts['input'].settings, 'input.settings: '],
    [
      'a band that is no number',
      (facts) => (facts['input'].settings.feeBand = 'much'),
      'input.settings.feeBand: no amount',
    ],
    [
      'a limit below nothing',
      (facts) => (facts['input'].settings.reviewLimit = '-1'),
      'input.settings.reviewLimit: no amount',
    ],
    [
      'no amount of its mode',
      (facts) => (facts['input'].mtcAmount = null),
      'input: the amount is not that of the mode',
    ],
    ['an amount with an exponent', (facts) => (facts['input'].mtcAmount = '5e3'), 'input.mtcAmount: no amount'],
    ['a currency that nobody has', (facts) => (facts['input'].currencyCode = 'XAU'), 'input.currencyCode: '],
    [
      'a posting that is no number',
      (facts) => (answerOf(facts, 'credit').postingId = '1; drop'),
      'activity credit.postingId: no id',
    ],
    ['an answer that nobody gives', (facts) => (answerOf(facts, 'credit').kind = 'maybe'), 'activity credit.kind: '],
    [
      'an activity that nobody has',
      (facts) => (stepOf(facts, 'credit').name = 'toString'),
      'there is no such activity',
    ],
    [
      'a time that is none',
      (facts) => (answerOf(facts, 'placeOrder').expiresAt = 'soon'),
      'activity placeOrder.expiresAt: no time',
    ],
    ['no result', (facts) => (facts['end'].result = null), 'result: '],
    ['a state that is no end', (facts) => (facts['end'].result.state = 'EXPIRED'), 'result.state: '],
    ['a workflow that moves no money', (facts) => (facts['workflowType'] = 'archive'), 'type archive moves no money'],
  ];
  const stepOf = (facts: Record<string, any>, name: string) => facts['steps'].find((step: any) => step.name === name); // oxlint-disable-line typescript/no-explicit-any -- what somebody else wrote
  const answerOf = (facts: Parameters<Change>[0], name: string) => stepOf(facts, name).result;

  test.each(SHAPES)('is told with the place: %s', (_, change, detail) => {
    const facts = structuredClone(readHistory(named('v2/credited')));
    change(facts);
    const found = compareHistory(facts, EMPTY);
    expect(found.map(({ kind }) => kind)).toEqual(found.map(() => 'not_readable'));
    expect(found.map((one) => one.detail).join('\n')).toContain(detail);
    expect(found[0]!.where).toBe(facts.workflowId);
    expect(explainedBy(facts, EMPTY)).toEqual(new Set());
  });

  test('a text that is nested without end has another form than the archive’s, and ends nothing', () => {
    const text = '{"events":[],"x":';
    expect(isCanonical(`${text}${'['.repeat(200_000)}${']'.repeat(200_000)}}`)).toBe(false);
    expect([`${text}[]}`, `${text}[] }`, `${text}1,"x":[]}`, text].map(isCanonical)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test('a decision that says it was a local activity, which keeps nothing of what it was given, is compared all the same', () => {
    const decided = recorded
      .map(({ history }) => readHistory(history))
      .filter(({ steps }) => steps.some((step) => step.kind === 'activity' && step.name === 'decide' && !step.failed));
    expect(decided.length).toBeGreaterThan(5);
    for (const facts of decided) {
      const steps = facts.steps.map((step) => (step.kind === 'activity' ? { ...step, input: null } : step));
      const found = compareHistory({ ...facts, steps }, recordsOf(facts));
      expect(found.filter(({ detail }) => detail.startsWith('comparing it failed'))).toEqual([]);
    }
  });

  test('never brings the comparing down, whatever value stands wherever', () => {
    const anything = fc.oneof(
      fc.constantFrom(null, undefined, '', 'x', '-1', '1e9', '0', 0, -1, 1.5, true, [], {}, [null], Number.NaN),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.nat(recorded.length - 1), fc.array(fc.nat(), { maxLength: 6 }), anything, (which, way, value) => {
        const facts = structuredClone(readHistory(recorded[which]!.history));
        const { workflowId } = facts;
        put(facts, way, value);
        const found = compareHistory(facts, recordsOf(facts));
        // The shapes leave nothing for the catch-all.
        expect(found.filter(({ detail }) => detail.startsWith('comparing it failed'))).toEqual([]);
        inboxIdsIn(facts);
        subjectOf(facts);
        explainedBy({ ...facts, workflowId }, recordsOf(facts));
      }),
      { numRuns: 2_000 },
    );
  });
});

type Holder = readonly [holder: Record<string, unknown>, field: string];

/** Puts a value somewhere into foreign facts: the first number chooses the item, each further one a field of it. */
function put(facts: HistoryFacts, [first = 0, ...way]: readonly number[], value: unknown): void {
  const holders: Holder[] = [facts, facts.end, ...facts.steps].flatMap((holder) =>
    ['workflowType', 'name', 'input', 'result', 'outcome']
      .filter((field) => holder !== null && field in holder)
      .map((field) => [holder as unknown as Record<string, unknown>, field] as const),
  );
  let [holder, field] = holders[first % holders.length]!;
  for (const step of way) {
    const below = holder[field];
    if (typeof below !== 'object' || below === null || Object.keys(below).length === 0) break;
    const fields = Object.keys(below);
    [holder, field] = [below as Record<string, unknown>, fields[step % fields.length]!];
  }
  // Names are texts in every history.
  holder[field] = ['name', 'workflowType'].includes(field) ? JSON.stringify([value]) : value;
}

/** A row for any deposit that the history names, so that the comparison continues after it. */
function recordsOf(facts: HistoryFacts): Records {
  const input = facts.input as { externalOrderNumber?: string; settings?: unknown } | null | undefined;
  const row = { settings: null, state: 'CREDITED', createdAt: facts.startedAt, expiresAt: null };
  const n = input?.externalOrderNumber;
  return n === undefined ? EMPTY : { ...EMPTY, deposits: new Map([[n, row as unknown as DepositRecord]]) };
}

test('what a history names and no table can hold is not asked for', async () => {
  const db = await createTestDatabase();
  const client = await db.poolFor('auditor').connect();
  try {
    const odd = ['\0', 'x\0', '', "'; drop table engine.deposit", '𝕏', '\ud800', null, 5, {}] as string[];
    const ids = [...odd, '1', '-1', '1e3', '99999999999999999999', '9223372036854775808'];
    const found = await readRecords(client, odd, odd, ids);
    expect([found.deposits.size, found.callbacks.size, found.postings.size, found.codes.size]).toEqual([0, 0, 0, 0]);
  } finally {
    client.release();
  }
});
