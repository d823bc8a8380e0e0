import { DEPOSIT_STATES } from '../../../domain/deposit.ts';
import { RECEIPTS } from '../../../domain/review.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { type Part, type Scene, type Situation } from '../scene/scene.ts';
import { built, literal, part, sha256, type Value } from './statement.ts';

/** Plausible values for the name of an argument or a column, and for its type where its name matches none. */

const of = (name: Part, ...situations: readonly Situation[]): Value[] => situations.map((one) => part(one, name));
const literals = (...values: readonly unknown[]) => values.map(literal);

const WITH_CASE: readonly Situation[] = [
  'doubtful',
  'proposed',
  'withdrawn',
  'agreed',
  'decided',
  'rejected',
  'second',
  'beside',
  'doubted',
  'reversed',
  'unreadable',
];
const WITH_STEPS: readonly Situation[] = [
  'proposed',
  'withdrawn',
  'agreed',
  'decided',
  'rejected',
  'beside',
  'reversed',
];
const PAID: readonly Situation[] = ['credited', 'repeated', 'decided', 'beside', 'reversed', 'fresh', 'doubted'];

const DEPOSITS: readonly Situation[] = [
  'waiting',
  'credited',
  'expired',
  'unpaid',
  'refused',
  'unplaced',
  'placing',
  'pending',
  'doubtful',
  'decided',
  'rejected',
  'unknown',
];
export const ORDERS = [...of('order', ...DEPOSITS), ...literals('o-evil', null)];
export const CALLBACKS = [...of('callback', ...PAID, 'pending', ...WITH_CASE, 'unknown'), ...literals('0', null)];
export const CASES = [
  ...of('case', ...WITH_CASE),
  built('deposit:waiting', (scene) => `deposit:${scene.waiting.order}`),
  built('deposit:pending', (scene) => `deposit:${scene.pending.order}`),
  ...literals('review:0', null),
];
const STEPS = [
  ...of('proposal', ...WITH_STEPS),
  ...of('confirmation', 'agreed', 'decided', 'rejected'),
  ...literals('0', null),
];
const POSTINGS = [...of('posting', ...PAID, 'second'), ...literals('0', null)];
const STAMP_KEYS = [...of('stampKey', 'credited', 'unknown'), ...of('ownKey', 'waiting'), ...literals('evil', null)];
const STAMPS = [
  ...of('stampMs', 'credited', 'pending', 'unknown'),
  ...of('ownMs', 'waiting', 'credited'),
  built('now', () => String(Date.now())),
  ...literals('0', '4102444800000', null),
];
const CONTENTS = [
  ...of('content', 'credited', 'pending', 'unknown'),
  ...of('history', 'credited'),
  ...literals(sha256('evil'), null),
];
const SEALS = [...of('seal', 'credited', 'pending', 'unknown', 'second'), ...literals(Buffer.alloc(64, 7), null)];
const TEXTS = literals('evil', '', "x'; drop table engine.deposit --", null);
const WALLETS = [...of('wallet', 'credited', 'waiting'), ...literals('wallet-evil', null)];
const STATES = literals(...DEPOSIT_STATES);
const PROOFS = literals(sha256('evil'), null);

/** By name; for a name with two meanings the type decides. */
const NAMED: readonly (readonly [pattern: RegExp, values: readonly Value[]])[] = [
  [/^(of_order|order|external_order_number|of_deposit|to_deposit|deposit)$/, ORDERS],
  [/^(of_callback|of_inbox|callback|inbox_id|bound_callback)$/, CALLBACKS],
  [/^(of_case|workflow_id|of_workflow|was_held_by|held_by|settled_by|case)$/, CASES],
  [/^(of_proposal|proposal_id|confirmation_id|of_step|shown|proposal|confirmation|decision_id)$/, STEPS],
  [
    /^(of_posting|posting|posting_id|beside|of_id|of_root|from_id|doubted|parked|origin|next_to|transaction_id|stands)$/,
    POSTINGS,
  ],
  [/^(by_key|with_key|key_id|by_seal_key|seal_key)$/, STAMP_KEYS],
  [/^(at_ms|stamp_ms|timestamp_ms|at_sealed_ms|sealed_ms)$/, STAMPS],
  [/^(content|other|of_hash|history|bundle|content_hash|fingerprint)$/, CONTENTS],
  [/^(by_seal|seal|signature)$/, SEALS],
  [/^(proof|proof_hash)$/, PROOFS],
  [/wallet/, WALLETS],
  [/^(as_receipt|receipt)$/, literals(...RECEIPTS)],
  [/^(to_state|state)$/, STATES],
  [/^step$/, literals('propose', 'confirm', 'withdraw')],
  [/^decision$/, literals('credit', 'reject', 'reverse', 'restore', null)],
  [
    /^(reason|review_reason|why)$/,
    [
      ...literals('AMOUNT_MISMATCH', 'LATE', 'SECOND_CODE', 'RESTORED', 'CASE_RESTORED', 'NOT_SENT', 'TOO_LATE'),
      ...TEXTS,
    ],
  ],
  [/^(as_kind|kind)$/, literals('history', 'bundle', 'evil', null)],
  [/^(as_status|status)$/, literals('COMPLETED', 'FAILED', 'TERMINATED', 'CONTINUED_AS_NEW', 'evil', null)],
  [/^(of_run|run_id)$/, [...of('run', 'credited', 'rejected'), ...literals('evil-run', null)]],
  [/url/, [...of('url', 'waiting'), ...literals('https://evil.example/pay/1', null)]],
  [/^(transaction_code|provider_code)$/, [...of('code', 'credited', 'pending'), ...literals('ATEVIL', null)]],
  [/^(currency_code|fiat)$/, literals('CNY', 'HKD', 'TWD', null)],
  [/^buy_coin_mode$/, literals('MtcAmount', 'PaymentPrice', null)],
  [/^support_language$/, literals('en', 'zh_CN', null)],
];

export const callbackData = (scene: Scene, of: Situation, change: Readonly<Record<string, unknown>> = {}) => ({
  externalOrderNumber: scene[of].order,
  transactionCode: `ATEVIL${scene[of].order}`.slice(0, 30).replace(/[^A-Za-z0-9]/g, ''),
  transactionAmount: '5000',
  currencyCode: 'CNY',
  paymentPrice: '36000',
  transactionCreateTime: '2021-07-01T00:00:00',
  paymentFinishedTime: '2021-07-01T00:05:00',
  ...change,
});
export const forgedContent = (scene: Scene, of: Situation, change: Readonly<Record<string, unknown>> = {}) =>
  contentHash(callbackData(scene, of, change) as Parameters<typeof contentHash>[0]);
/** Returns the bytes of a message with this content. */
export const forgedRaw = (scene: Scene, of: Situation, change: Readonly<Record<string, unknown>> = {}) => {
  const { transactionAmount, paymentPrice, ...rest } = callbackData(scene, of, change);
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return Buffer.from(
    `{"signature":"${'A'.repeat(64)}","timestamp":${Date.now()},"data":{${fields.join(',')},"transactionAmount":${transactionAmount},"paymentPrice":${paymentPrice}}}`,
  );
};

const DATA: readonly Value[] = [
  ...of('data', 'credited', 'pending'),
  built('forged data', (scene) => callbackData(scene, 'waiting')),
  built('a tenth', (scene) => callbackData(scene, 'waiting', { transactionAmount: '500' })),
  literal({}),
  literal(null),
];
const ANSWERS = literals(
  { kind: 'placed', redirectUrl: 'https://evil.example/pay/1', advertisementCode: 'EVIL', providerTimeMs: null },
  { kind: 'refused', statusCode: 'PARAMETER_ERROR', message: 'no' },
  { kind: 'not_sent', cause: 'evil' },
  { kind: 'unknown', cause: 'evil' },
  { kind: 'credited' },
  null,
);

/** Possible values; `sample`: a genuine one, numbers are varied around it. */
export function poolFor(name: string, type: string, words: readonly string[] = []): readonly Value[] {
  const named = NAMED.find(([pattern]) => pattern.test(name))?.[1];
  const texts = words.map(literal);
  if (named !== undefined) return [...named, ...texts];
  switch (type) {
    case 'boolean':
      return literals(true, false, null);
    case 'smallint':
    case 'integer':
    case 'bigint':
      return literals(0, 1, 2, -1, 1000, 2_000_000_000, null);
    case 'numeric':
      return literals('1', '5000', '50000', '-1', null);
    case 'timestamp with time zone':
      return [built('now', () => new Date().toISOString()), ...literals('epoch', '2030-01-01T00:00:00Z', null)];
    case 'interval':
      return literals('0 seconds', '-1 day', '100 years', null);
    case 'jsonb':
      return name === 'said' || name === 'answer' ? ANSWERS : name === 'items' ? literals([], null) : DATA;
    case 'bytea':
      return [
        ...CONTENTS,
        ...of('raw', 'credited', 'pending'),
        built('forged bytes', (scene) => forgedRaw(scene, 'waiting')),
      ];
    case 'uuid':
      return literals('00000000-0000-4000-8000-000000000000', null);
    case 'text[]':
      return literals(['reviews:decide'], [], null);
    default:
      return [...texts, ...TEXTS];
  }
}
