/** A defence, and the edits of the sources that remove it. */
export interface Defence {
  readonly name: string;
  readonly edits: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
  /** The series of `npm run attack` that has to notice. */
  readonly series: 'signatures' | 'tokens' | 'middle' | 'both' | 'all';
}

const defence = (
  name: string,
  series: Defence['series'],
  ...edits: readonly (readonly [file: string, find: string, replace: string])[]
): Defence => ({ name, series, edits: edits.map(([file, find, replace]) => ({ file, find, replace })) });

/** Every defense against a callback, in the order in which they apply. */
export const DEFENCES: readonly Defence[] = [
  defence('content type', 'middle', ['api/callback-app.ts', 'return isJson && charsets', 'return true || charsets']),
  defence(
    'no content encoding',
    'middle',
    ['api/http/http.ts', "encoding !== undefined && encoding !== 'identity'", 'false'],
    [
      'api/callback-app.ts',
      'raw: bytes }',
      "raw: request.headers['content-encoding'] ? process.getBuiltinModule('zlib').unzipSync(bytes) : bytes }",
    ],
  ),
  defence('size limit', 'middle', ['api/http/http.ts', '16 * 1024', '16 * 1024 * 1024']),
  defence('fatal UTF-8', 'middle', ['providers/mtpay/callback.ts', 'fatal: true', 'fatal: false']),
  defence('duplicate keys refused', 'middle', ['encoding/strict-json.ts', 'if (key in object)', 'if (false)']),
  defence('__proto__ refused', 'middle', ['encoding/strict-json.ts', "if (key === '__proto__')", 'if (false)']),
  defence('bounded depth', 'middle', ['encoding/strict-json.ts', 'MAX_DEPTH = 16', 'MAX_DEPTH = 16_000']),
  defence('lone surrogates refused', 'middle', ['encoding/strict-json.ts', '!value.isWellFormed()', 'false']),
  defence('stamp an integer literal', 'middle', [
    'providers/mtpay/callback.ts',
    '!TIMESTAMP.test(timestamp.text)',
    '!Number.isSafeInteger(Number(timestamp.text))',
  ]),
  defence(
    'signature a text',
    'middle',
    [
      'providers/mtpay/callback.ts',
      "  if (typeof signature !== 'string') throw",
      "  if (typeof signature !== 'string' && !Array.isArray(signature)) throw",
    ],
    [
      'providers/mtpay/callback.ts',
      'return { signature, timestampMs',
      'return { signature: String(signature), timestampMs',
    ],
  ),
  defence('signature in upper case', 'middle', [
    'providers/mtpay/signature.ts',
    '/^[0-9A-F]{64}$/',
    '/^[0-9A-Fa-f]{64}$/',
  ]),
  // All keys of the ring: any token matches.
  defence('token', 'signatures', [
    'providers/callback-address.ts',
    'return capable[0] ?? null',
    'return capable[0] ?? keys[0]',
  ]),
  defence('token bound to the order', 'signatures', [
    'providers/callback-address.ts',
    '`mtpay-cb|v1|${externalOrderNumber}`',
    '`mtpay-cb|v1|`',
  ]),
  defence('signature', 'tokens', [
    'providers/mtpay/signature.ts',
    'return signed[0] ?? null',
    'return signed[0] ?? keys[0]',
  ]),
  defence('uniform answer', 'both', [
    'intake/receive-callback.ts',
    'if (capability === null || signer === null) return null;',
    "if (capability === null) throw new RequestRefused('unauthorized', 'wrong token');\n  if (signer === null) return null;",
  ]),
  defence('bound of stamps ahead', 'middle', [
    'domain/stamp-limits.ts',
    'MAX_AHEAD_MS = 15 * 60_000',
    'MAX_AHEAD_MS = 1e15',
  ]),
  defence('stamps a little ahead to people', 'middle', [
    'domain/stamp-limits.ts',
    'AHEAD_NOISE_MS = 2 * 60_000',
    'AHEAD_NOISE_MS = 20 * 60_000',
  ]),
  defence('stale stamps to people', 'middle', [
    'intake/route-callback.ts',
    '-message.aheadMs > deposit.listeningWindowMs',
    'false',
  ]),
  defence('stamps from before the order to people', 'middle', [
    'intake/route-callback.ts',
    'message.stampedMs < firstSentMs - BEFORE_ORDER_SLACK_MS',
    'false',
  ]),
  defence('one signature for one message', 'middle', [
    'intake/route-callback.ts',
    '!stamped.equals(reading.contentHash)',
    'false',
  ]),
  defence('own stamps known again', 'middle', [
    'database/migrations/019-api.sql',
    'where s.key_id = by_key and s.timestamp_ms = at_ms for no key update',
    'where false for no key update',
  ]),
  defence('exact decimals', 'middle', [
    'providers/mtpay/callback.ts',
    'const parsed = read(value.text);',
    'const parsed = read(String(Math.abs(Number(value.text)) || 5000));',
  ]),
  defence('content hash over every field', 'middle', [
    'providers/content-hash.ts',
    '      data.transactionAmount,\n      data.currencyCode,\n      data.paymentPrice,\n',
    '',
  ]),
  defence(
    'one payment for a deposit',
    'middle',
    ['intake/route-callback.ts', 'if (bound !== null) {', 'if (false) {'],
    ['intake/route-callback.ts', 'if (isFinal(state)) return', 'if (false) return'],
    ['database/migrations/019-api.sql', "(as_receipt = 'first' and", '(false and'],
  ),
  defence('unknown orders refused at first', 'middle', [
    'database/migrations/019-api.sql',
    "> interval '6 hours'",
    ">= interval '0'",
  ]),
  defence('at most 20 contents of a kind', 'middle', ['intake/route-callback.ts', 'MAX_KEPT = 20', 'MAX_KEPT = 1_000']),
  defence('currency', 'middle', ['domain/judge.ts', 'paid.currencyCode !== order.currencyCode', 'false']),
  defence('exact amount', 'middle', ['domain/judge.ts', 'received <= asked && received >= asked - fee', 'true']),
  defence('exact price', 'middle', ['domain/judge.ts', 'if (price === asked)', 'if (true)']),
  defence('rate band', 'middle', [
    'domain/judge.ts',
    'fiat * UNITS_PER_ONE >= from && fiat * UNITS_PER_ONE <= to',
    'true',
  ]),
  defence('credit cap', 'middle', ['domain/judge.ts', 'if (settings.creditCap === undefined)', 'if (true)']),
  defence('one credit for a transaction code', 'middle', [
    'database/migrations/002-ledger.sql',
    '  unique (provider, provider_code),\n',
    '',
  ]),
];
