import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UsageError } from '../../../config/command-line.ts';
import { sha256 } from '../../../archive/canonical-history.ts';
import { NO_EXCEPTIONS, readExceptions } from '../../../audit/exceptions.ts';
import { changedBundle } from '../../support/gate/bundle.ts';
import { findingsOf, keepBook } from '../book.ts';

/** Histories of yesterday's code, audited with today's, which does otherwise. */
const book = await keepBook();
const { credited } = book.deposits;
const folder = await mkdtemp(join(tmpdir(), 'deposit-exceptions-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The code of workflows with the end of a credited deposit announced no more. */
async function changedCode(): Promise<string> {
  const source = await readFile('domain/deposit.ts', 'utf8');
  const [from, to] = ["credited: step('CREDITED', 'announce')", "credited: step('CREDITED')"];
  expect(source, 'domain/deposit.ts still has what this test changes').toContain(from);
  return changedBundle(new Map([['domain/deposit.ts', source.replace(from, to)]]));
}
const today = await changedCode();
const yesterday = sha256(book.code).toString('hex');
const REASON = '2026-02-03: the patch announce-crediting was forgotten; released for two hours, 14 deposits';
const forBundle = (hash: string) => ({ ...NO_EXCEPTIONS, bundles: new Map([[hash, REASON]]) });
const accepted = { code: today, exceptions: forBundle(yesterday) };

const kindsOf = (findings: readonly { kind: string }[]) => [...new Set(findings.map(({ kind }) => kind))].toSorted();

test('a history that today’s code would have made otherwise is told, and the decision is compared all the same', async () => {
  const report = await book.auditWith({ code: today }, undefined, '--deposit', credited);
  expect(findingsOf(report)).toMatchObject([{ kind: 'replay_differs', where: `deposit:${credited}` }]);
  expect(report.bundles).toMatchObject([{ hash: yesterday, replayedOn: 'today', histories: 1 }]);
  expect(report.audit.bundleHash).toBe(sha256(today).toString('hex'));
  expect(report.notes.filter((note) => note.includes('bundle'))).toEqual([]);
});

test('with an exception it is replayed on the bundle that decided it, and the report says so with the reason', async () => {
  const report = await book.auditWith(accepted, undefined, '--deposit', credited);
  expect(findingsOf(report)).toEqual([]);
  expect(report.checks.find(({ id }) => id === 'replay')?.checked).toBe(1);
  expect(report.bundles).toMatchObject([{ hash: yesterday, replayedOn: 'itself', histories: 1 }]);
  expect(report.notes).toContainEqual(expect.stringMatching(`${yesterday}.*${REASON}`));
});

test('an exception for another bundle explains nothing', async () => {
  const exceptions = forBundle(sha256('another').toString('hex'));
  const report = await book.auditWith({ code: today, exceptions }, undefined, '--deposit', credited);
  expect(kindsOf(findingsOf(report))).toEqual(['replay_differs']);
});

test('an exception explains the replay and nothing else: a wallet that was changed is found', async () => {
  const url = await book.tampered(
    `update engine.deposit set wallet = 'wallet-mine' where external_order_number = '${credited}'`,
  );
  const report = await book.auditWith(accepted, url, '--deposit', credited);
  expect(kindsOf(findingsOf(report))).toEqual(['delivery_differs', 'deposit_row_differs', 'notification_differs']);
});

test.each([
  ['missing', `delete from engine.archive_object where kind = 'bundle'`],
  [
    'damaged',
    `update engine.archive_object set bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1) where kind = 'bundle'`,
  ],
  [
    'another text',
    `update engine.archive_object set bytes = (select bytes from engine.archive_object where kind = 'history' limit 1) where kind = 'bundle'`,
  ],
])('a kept bundle that is %s is told, and its histories are tried on today’s code', async (_, tamper) => {
  const report = await book.auditWith(accepted, await book.tampered(tamper), '--deposit', credited);
  const findings = findingsOf(report);
  expect(kindsOf(findings)).toEqual(['bundle_missing', 'replay_differs']);
  expect(findings).toContainEqual(expect.objectContaining({ kind: 'bundle_missing', where: `bundle ${yesterday}` }));
  expect(report.bundles).toMatchObject([{ hash: yesterday, replayedOn: 'today' }]);
});

describe('the list of exceptions', () => {
  const path = join(folder, 'exceptions.json');
  const read = async (text: string) => {
    await writeFile(path, text);
    return readExceptions(path);
  };
  const one = { bundle: yesterday, reason: REASON };

  test('that is shipped is read, and holds none', async () => {
    expect(await readExceptions('audit/replay-exceptions.json')).toEqual(NO_EXCEPTIONS);
  });

  test('is read by the bundle’s hash', async () => {
    expect(await read(JSON.stringify({ exceptions: [one] }))).toEqual(forBundle(yesterday));
  });

  test.each([
    ['no JSON', '{ "exceptions": ['],
    ['nothing', ''],
    ['a list alone', JSON.stringify([one])],
    ['no list', JSON.stringify({})],
    ['another field', JSON.stringify({ exceptions: [], note: 'x' })],
    ['another field in one', JSON.stringify({ exceptions: [{ ...one, deposit: 'order-1001' }] })],
    ['a hash cut short', JSON.stringify({ exceptions: [{ ...one, bundle: yesterday.slice(1) }] })],
    ['a hash in upper case', JSON.stringify({ exceptions: [{ ...one, bundle: yesterday.toUpperCase() }] })],
    ['no reason', JSON.stringify({ exceptions: [{ bundle: yesterday }] })],
    ['a reason that says nothing', JSON.stringify({ exceptions: [{ ...one, reason: 'forgotten' }] })],
    ['a reason without end', JSON.stringify({ exceptions: [{ ...one, reason: 'x'.repeat(1_001) }] })],
    ['one bundle with two reasons', JSON.stringify({ exceptions: [one, { ...one, reason: 'for another reason' }] })],
  ])('is refused when it is not one: %s', async (_, text) => {
    await expect(read(text)).rejects.toThrow(UsageError);
  });

  test('is refused when it is not there', async () => {
    await expect(readExceptions(join(folder, 'nowhere.json'))).rejects.toThrow(UsageError);
  });
});
