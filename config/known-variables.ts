/** Finds misspelt variables: an optional one would be ignored otherwise. */

/** Every variable of docs/reference/settings.md; a test compares them. */
export const VARIABLES = `
  DATABASE_URL DATABASE_URL_API DATABASE_URL_WORKER DATABASE_URL_DECISIONS DATABASE_URL_NOTIFIER DATABASE_URL_AUDITOR
  DATABASE_URL_ARCHIVER DATABASE_URL_MIGRATOR MTPAY_BASE_URL MTPAY_PLACE_PATH MTPAY_REDIRECT_HOSTS
  MTPAY_PLAIN_HTTP_HOSTS MTPAY_CA_FILE MTPAY_PROXY HTTPS_PROXY NO_PROXY MTPAY_ACK CALLBACK_BASE_URL API_LISTEN
  CALLBACK_LISTEN API_RATE_LIMIT API_RATE_BURST API_FAILURE_LIMIT API_FAILURE_BURST API_CONNECTIONS MTPAY_DEADLINE
  OWN_STAMP_GRID PLACE_WITHIN PAYER_NAME_RETENTION PRUNE_AFTER WORKER_CONNECTIONS WORKER_POLLERS WORKER_CACHE
  NOTIFY_AT_ONCE NOTIFY_LOCAL_TARGETS NOTIFY_DENY NOTIFY_CA_FILE LOG_LEVEL ARCHIVE_EVERY ARCHIVE_DIRECTORY
  RESTORED_FROM_EMPTY WORKFLOW_BUNDLE CRASH_AT NODE_ENV MTPAY_ACCESS_KEY MTPAY_SECRET_KEY CALLBACK_KEY PAYER_NAME_KEY
  FINGERPRINT_KEY ENDPOINT_SECRET_KEY MTPAY_ACCESS_KEY_NEXT MTPAY_ACCESS_KEY_PREVIOUS MTPAY_SECRET_KEY_NEXT
  MTPAY_SECRET_KEY_PREVIOUS MTPAY_KEY_PREVIOUS_UNTIL CALLBACK_KEY_NEXT CALLBACK_KEY_PREVIOUS
  CALLBACK_KEY_PREVIOUS_UNTIL PAYER_NAME_KEY_NEXT PAYER_NAME_KEY_PREVIOUS PAYER_NAME_KEY_PREVIOUS_UNTIL
  FINGERPRINT_KEY_NEXT FINGERPRINT_KEY_PREVIOUS FINGERPRINT_KEY_PREVIOUS_UNTIL ENDPOINT_SECRET_KEY_NEXT
  ENDPOINT_SECRET_KEY_PREVIOUS ENDPOINT_SECRET_KEY_PREVIOUS_UNTIL INBOX_SEAL_KEY INBOX_SEAL_PUBLIC_KEYS
  INBOX_SEAL_EPOCH DECISION_SIGNATURES OPERATOR_PUBLIC_KEYS DECISION_SIGNATURES_AFTER PAYMENT_WINDOW LISTENING_WINDOW
  LATE_POLICY RATE_BAND_CNY RATE_BAND_HKD RATE_BAND_TWD FEE_BAND FEE_BAND_CNY FEE_BAND_HKD FEE_BAND_TWD CREDIT_CAP
  REVIEW_LIMIT AUDIT_SIGNING_KEY AUDIT_PUBLIC_KEY AUDIT_ENTITY AUDIT_PREPARER TEMPORAL_ADDRESS TEMPORAL_NAMESPACE
  TEMPORAL_API_KEY TEMPORAL_CONFIG_FILE TEMPORAL_PROFILE TEMPORAL_TLS TEMPORAL_TLS_CLIENT_CERT_PATH
  TEMPORAL_TLS_CLIENT_CERT_DATA TEMPORAL_TLS_CLIENT_KEY_PATH TEMPORAL_TLS_CLIENT_KEY_DATA
  TEMPORAL_TLS_SERVER_CA_CERT_PATH TEMPORAL_TLS_SERVER_CA_CERT_DATA TEMPORAL_TLS_SERVER_NAME
  TEMPORAL_TLS_DISABLE_HOST_VERIFICATION TEMPORAL_UI_URL TEMPORAL_CODEC_KEY TEMPORAL_CODEC_KEY_PREVIOUS CODEC_LISTEN
  DATABASE_URL_SANDBOX SANDBOX_LISTEN SANDBOX_PUBLIC_URL SANDBOX_SHOP_URL SANDBOX_ACCESS_KEY SANDBOX_SECRET_KEY
  SANDBOX_CONTROL_TOKEN SANDBOX_CALLBACK_CONCURRENCY SANDBOX_CONNECTIONS SANDBOX_MTC_DECIMALS SANDBOX_TIME_ZONE
  SANDBOX_LOG_LEVEL SANDBOX_CALLBACK_HOSTS SANDBOX_ACK SANDBOX_SPEED SANDBOX_RETRY_READING SANDBOX_RESIGN
  SANDBOX_REPEATED_ORDER SANDBOX_TIMESTAMP_WINDOW SANDBOX_USED_STAMPS SANDBOX_RELEASE_DELAY SANDBOX_ORDER_LIFETIME
  SANDBOX_ANSWER_TIMEOUT SANDBOX_PRICE_CNY SANDBOX_PRICE_HKD SANDBOX_PRICE_TWD SANDBOX_TLS SANDBOX_TLS_DIRECTORY
  SANDBOX_ALLOW_PLAIN_HTTP SANDBOX_CONSOLE_PASSWORD SANDBOX_AUTO_RELEASE SANDBOX_FEE_PERCENT SANDBOX_FEE_FIXED
  SANDBOX_FEE_BORNE_BY SANDBOX_FEE_REPORT SANDBOX_SIGNS_WITH TEMPORAL_CLI_PATH TEMPORAL_TEST_SERVER_PATH CHROMIUM_PATH
  TEST_LOG_LEVEL RECORD_HISTORIES POSTGRES_PASSWORD MIGRATOR_DATABASE_PASSWORD API_DATABASE_PASSWORD
  WORKER_DATABASE_PASSWORD DECISIONS_DATABASE_PASSWORD AUDITOR_DATABASE_PASSWORD ARCHIVER_DATABASE_PASSWORD
  TEMPORAL_DATABASE_PASSWORD NOTIFIER_DATABASE_PASSWORD SANDBOX_DATABASE_PASSWORD POSTGRES_CONNECTIONS COMMIT
  API_PUBLISH CALLBACK_PUBLISH CALLBACK_TLS_PUBLISH CALLBACK_CERTIFICATES TEMPORAL_UI_PUBLISH SANDBOX_PUBLISH
  KEYS_DIRECTORY API_KEY`;

/** The rest of `.data/local.env`, which users load into their shell. */
export const OF_LOCAL_ENV = `
  API_URL SANDBOX_CONSOLE_URL WORKER_PID API_PID SANDBOX_PID NOTIFIER_PID SHOP_URL SHOP_PID LOCAL_ENV`;

const namesIn = (list: string): string[] => list.trim().split(/\s+/);
const known = new Set([...namesIn(VARIABLES), ...namesIn(OF_LOCAL_ENV)]);

/** Other programs have these, or ones like them. */
const COMMON = ['API_KEY', 'COMMIT', 'HTTPS_PROXY', 'NODE_ENV', 'NO_PROXY', 'POSTGRES_PASSWORD'];
const ours = namesIn(VARIABLES).filter((name) => !COMMON.includes(name));

/** Only ours begin so, except what Kubernetes and Docker derive from a service of that name. */
const BEGINS_AS_OURS = /^(MTPAY|SANDBOX)_(?!(SERVICE|PORT|ENV|NAME)(_|$))/;

/**
 * Tells the set variables that look like ours and are none, in one line and without their values: each with the name
 * that it resembles, if there is one.
 */
export function tellMisspelt(
  tell: (line: string) => void,
  env: Readonly<Record<string, string | undefined>> = process.env,
): void {
  const found = Object.entries(env).flatMap(([name, value]) => ((value ?? '') === '' ? [] : suspicion(name)));
  if (found.length > 0) tell(`variables that look like ours, and that nothing reads: ${found.toSorted().join(', ')}`);
}

function suspicion(name: string): readonly string[] {
  const own = name.replace(/_FILE$/, '');
  if (known.has(name) || known.has(own)) return [];
  const meant = ours.find((one) => isNear(own, one));
  if (meant !== undefined) return [`${name} (${meant}?)`];
  return BEGINS_AS_OURS.test(name) ? [name] : [];
}

/** Whether it differs in underscores alone, or by one slip in each of two words at most; of one in a short name. */
function isNear(name: string, known: string): boolean {
  if (name.replaceAll('_', '') === known.replaceAll('_', '')) return true;
  const [words, ours] = [name.split('_'), known.split('_')];
  const others = words.filter((word, i) => word !== ours[i]).length;
  const limit = known.length < 10 ? 1 : 2;
  return words.length === ours.length && others <= limit && words.every((word, i) => isSlip(word, ours[i]!));
}

/** Whether a letter is added, missing or other, or two are swapped. Another letter in three makes another word. */
function isSlip(word: string, known: string): boolean {
  const shorter = Math.min(word.length, known.length);
  let [from, end] = [0, 0];
  while (from < shorter && word[from] === known[from]) from += 1;
  while (end < shorter - from && word.at(-1 - end) === known.at(-1 - end)) end += 1;
  const [left, wanted] = [word, known].map((one) => one.slice(from, one.length - end)) as [string, string];
  if (left.length + wanted.length <= 1) return true;
  if (left.length === 1 && wanted.length === 1) return known.length > 3;
  return left.length === 2 && wanted === left[1]! + left[0]!;
}
