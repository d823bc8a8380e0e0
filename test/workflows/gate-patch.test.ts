import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { recordedCommands } from '../../archive/recorded-commands.ts';
import { paid } from '../support/builders.ts';
import { required } from '../support/database.ts';
import { bundleForGate, changedBundle, type Sources } from '../support/gate/bundle.ts';
import { differences } from '../support/gate/gate.ts';
import { ran, recordedPaths } from '../support/gate/predicates.ts';
import type { RecordedHistory } from '../support/workflows/histories.ts';
import { quietRuntime } from '../support/runtime.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/**
 * Runs the worked example of docs/internals/changing-workflows.md: CREDITING is announced, without a patch and with
 * one, and a deposit runs on the patched code. Every line of code and every sentence that the page quotes is the one
 * used here.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFile(join(root, file), 'utf8');
const page = await read('docs/internals/changing-workflows.md');
quietRuntime();
const workshop = await mkdtemp(join(tmpdir(), 'deposit-engine-patched-'));
afterAll(() => rm(workshop, { recursive: true, force: true }));

const ANNOUNCE = "if (instead === null && effects.includes('announce')) announce(state, facts);";
const WITHOUT: Edits = [
  [
    ANNOUNCE,
    "const announced = effects.includes('announce') || state === 'CREDITING';\n    if (instead === null && announced) announce(state, facts);",
  ],
];
const WITH: Edits = [
  [
    'import { allHandlersFinished, CancellationScope, condition,',
    'import { allHandlersFinished, CancellationScope, condition, patched,',
  ],
  [
    '  const memory = listenForPayments(input);\n',
    "  const memory = listenForPayments(input);\n  // Deposits that were open before this version do not announce CREDITING, and never will.\n  const announcesCrediting = patched('announce-crediting');\n",
  ],
  [
    ANNOUNCE,
    "const announced = effects.includes('announce') || (announcesCrediting && state === 'CREDITING');\n    if (instead === null && announced) announce(state, facts);",
  ],
];

type Edits = readonly (readonly [from: string, to: string])[];

const changed = (edits: Edits): Promise<Sources> => changedIn({ 'workflows/deposit.ts': edits });

async function changedIn(files: Readonly<Record<string, Edits>>): Promise<Sources> {
  const sources = new Map<string, string>();
  for (const [file, edits] of Object.entries(files)) {
    let source = await read(file);
    for (const [from, to] of edits) {
      expect(source).toContain(from);
      source = source.replace(from, to);
    }
    sources.set(file, source);
  }
  return sources;
}

const paths = await recordedPaths();
const recordings = paths.map(({ recorded }) => recorded);
const patched = await changed(WITH);
const file = join(workshop, 'patched.js');
await writeFile(file, await changedBundle(patched));
const bundle = required('TEST_WORKFLOW_BUNDLE');
process.env['TEST_WORKFLOW_BUNDLE'] = file;
// Not within a test: its servers are stopped after the file.
const world = await startWorkflowWorld('real');
process.env['TEST_WORKFLOW_BUNDLE'] = bundle;

test('without a patch every recorded deposit that was credited is caught, in the words of the page', async () => {
  const caught = await differences(await bundleForGate(await changed(WITHOUT)), recordings);
  const credited = paths.filter(ran('credit')).map(({ recorded }) => recorded.name);
  expect([...caught.keys()].toSorted()).toEqual(credited.toSorted());
  expect(page).toContain(`each of the ${credited.length} recordings that come to a credit`);
  for (const line of WITHOUT.flatMap(([, to]) => to.split('\n'))) expect(page).toContain(line.trim());
  for (const name of ['v2/credited', 'v2/in-review-ledger-conflict']) {
    expect(page).toContain(`${name}: ${caught.get(name)!.sentence}`);
  }
});

test('a timer of another duration is caught, in the words of the page', async () => {
  const longer = await changed([
    ["settings.paymentWindowMs, 'payment window')", "settings.paymentWindowMs + 60_000, 'payment window')"],
  ]);
  const late = recordings.filter(({ name }) => name === 'v2/credited-late');
  const caught = (await differences(await bundleForGate(longer), late)).get('v2/credited-late');
  expect(page).toContain(`v2/credited-late: ${caught?.sentence}\n`);
  expect(caught?.fromError, 'the SDK has not noticed').toBeNull();
});

test('what may be changed freely is not caught: texts, timeouts, retries, optional fields', async () => {
  const free = await changedIn({
    'workflows/activity-calls.ts': [["'place the order'", "'place it'"]],
    'workflows/web-ui.ts': [['A person has to decide', 'Somebody has to decide']],
    'workflows/activity-options.ts': [
      ["startToCloseTimeout: '15s'", "startToCloseTimeout: '20s'"],
      ["maximumInterval: '1m'", "maximumInterval: '2m'"],
    ],
    'workflows/deposit.ts': [
      ["'payment window')", "'time to pay')"],
      ['wallet: input.wallet,', "wallet: input.wallet, note: 'optional',"],
      ['refusal: facts.refusal,', "refusal: facts.refusal, note: 'optional',"],
    ],
  });
  expect(await differences(await bundleForGate(free), recordings)).toEqual(new Map());
});

test('with the patch every recording is decided as it was', async () => {
  expect(await differences(await bundleForGate(patched), recordings)).toEqual(new Map());
  for (const line of WITH.slice(1).flatMap(([, to]) => to.split('\n'))) expect(page).toContain(line.trim());
});

test('a deposit that runs on the patched code announces CREDITING, and today’s code would not', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  const history = await handle.fetchHistory();
  const upserts = (history.events ?? []).filter((event) => event.upsertWorkflowSearchAttributesEventAttributes);
  expect(upserts, 'of the patch, CREDITING and CREDITED').toHaveLength(3);
  const commands = recordedCommands(history).map(({ command }) => command);
  expect(commands).toContainEqual({ kind: 'patch', id: 'announce-crediting' });
  expect(commands).toContainEqual(
    expect.objectContaining({
      kind: 'announcement',
      attributes: expect.objectContaining({ DepositState: 'CREDITING' }),
    }),
  );
  const recorded: RecordedHistory = { name: 'v3/credited', workflowId: handle.workflowId, history, given: {} };
  expect(await differences(await bundleForGate(patched), [recorded])).toEqual(new Map());
  const caught = await differences(await bundleForGate(), [recorded]);
  expect(caught.get('v3/credited')?.sentence).toContain('the recording went the new way of patch announce-crediting;');
});
