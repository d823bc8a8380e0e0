import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** A newcomer's questions, and the file or folder whose name answers each; its text has to contain the words. */
test.each([
  ['may a machine credit this payment?', 'domain/judge.ts', 'export function judge'],
  ['which states follow which?', 'domain/deposit.ts', 'export const'],
  ['what happens to a deposit, step by step?', 'workflows/deposit.ts', 'export async function deposit'],
  ['how is a callback checked and kept?', 'intake/receive-callback.ts', 'createReceiver'],
  ['who signals a workflow again, when nobody heard?', 'intake/relay/relay.ts', 'relay'],
  ['which rows does the relay look after?', 'database/queries/due-rows.ts', 'findToRaise'],
  ['how does a person’s decision get in?', 'intake/decide-case.ts', 'decide'],
  ['which requests and answers are there?', 'contract/deposits.ts', 'operation('],
  ['which status has an error?', 'contract/errors.ts', 'status'],
  ['how is a message to MTPay signed?', 'providers/mtpay/signature.ts', 'export function sign'],
  ['how is a placement’s answer read?', 'providers/mtpay/place.ts', 'PlacementOutcome'],
  ['what does the engine ask of a payment provider?', 'providers/port.ts', 'export interface PlacementPort'],
  ['where does money move?', 'ledger/credit.ts', 'creditAll'],
  ['what does the audit compare a deposit with?', 'audit/histories/compare-deposit.ts', 'compare'],
  ['what is a finding called, and what is to be done?', 'audit/report/findings.ts', 'FINDINGS'],
  ['which alarms are there?', 'telemetry/alarms.ts', 'export type Alarm'],
  ['how is a callback’s address made?', 'providers/callback-address.ts', 'callbackUrl'],
  ['what happens after a restore?', 'intake/restored.ts', 'mendDeposit'],
  ['who may ask how often?', 'api/http/rate-limit.ts', 'Buckets'],
  ['what is deleted when it is old?', 'database/queries/prune.ts', 'prune'],
  ['which keys verify while they rotate?', 'config/keys/keyring.ts', 'verifying'],
  ['where is one payment of a deposit kept to one wallet?', 'database/migrations/010-slots.sql', 'create table slot'],
  ['what does an error’s code mean?', 'contract/problems.ts', 'meaning'],
  ['which variables does the worker read?', 'config/settings/worker.ts', 'loadWorkerConfig'],
  ['what may a variable be, a duration for one?', 'config/settings/variable-types.ts', 'duration'],
  [
    'how long does a step of a workflow wait, and how often is it tried?',
    'workflows/activity-options.ts',
    'maximumInterval',
  ],
  ['which search attributes does a start register?', 'worker/search-attributes.ts', 'SEARCH_ATTRIBUTES'],
  ['how is a payer’s name encrypted?', 'encoding/payer-name.ts', 'export const sealName'],
  ['how are Temporal’s payloads encrypted?', 'encoding/payload-codec.ts', 'createPayloadCodec'],
  ['how far ahead may a stamp be?', 'domain/stamp-limits.ts', 'MAX_AHEAD_MS'],
  ['which cipher encrypts?', 'encoding/encryption.ts', 'aes-256-gcm'],
  ['what is said where a command line is not understood?', 'config/command-line.ts', 'class UsageError'],
  ['what keeps a start from an empty database beside a full Temporal?', 'database/empty-database.ts', 'ForgottenError'],
  ['what does a command say when the database is away?', 'database/command-errors.ts', 'cannot be used'],
  ['how is a line of a report’s file tied to the one before?', 'audit/report/chained-lines.ts', 'sha256'],
  ['which key may decide a case?', 'contract/reviews.ts', 'scopes:'],
  ['what does the client repeat, and when?', 'client/src/transport.ts', 'isRepeatable'],
  ['how is a notification verified?', 'client/src/webhooks.ts', 'timingSafeEqual'],
])('%s %s', (_question, path, word) => {
  expect(readFileSync(join(root, path), 'utf8')).toContain(word);
});

/** Above this a folder needs rooms: too many names to guess among. */
const MOST_FILES = 15;

test('no folder of the code has too many files to guess among', () => {
  const places = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^(?!node_modules|dist|docs|test)[a-z]+$/.test(entry.name))
    .flatMap(({ name }) => readdirSync(join(root, name), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => entry.parentPath);
  expect(places.length).toBeGreaterThan(300);
  const full = [...new Set(places)].filter((place) => places.filter((each) => each === place).length > MOST_FILES);
  expect(full).toEqual([]);
});
