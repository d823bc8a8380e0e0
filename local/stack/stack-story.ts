/** The terminal's lines about the stack itself: parts and their addresses, deaths, links. */

import type { Deposit, DepositClient } from '../../client/src/client.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { describeExit } from '../servers/process.ts';
import type { StackFacts } from './stack.ts';
import { seconds, type Story } from '../terminal/story.ts';
import type { SupervisorEvent } from './supervisor.ts';
import type { OtherVersion } from '../servers/temporal-binary.ts';
import type { TemporalServer } from '../servers/temporal.ts';

/** Reports that a part died, restarted, or failed to restart. */
export function tellEvent(story: Story, event: SupervisorEvent): void {
  switch (event.kind) {
    case 'died':
      story.warn(`${event.part} ${describeExit(event.exit)}; it is started again`);
      if (event.lastWords !== null) story.warn(`its last words in .data/logs/${event.part}.log: ${event.lastWords}`);
      break;
    case 'restarted':
      story.warn(`${event.part} is back after ${seconds(event.afterMs)} (process ${event.pid})`);
      break;
    case 'failed':
      story.warn(
        `${event.part} does not come back: ${firstLine(event.error)} Trying again in ${seconds(event.retryInMs)}.`,
      );
      break;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}

export function describePostgres(server: PostgresServer): string {
  return `127.0.0.1:${server.port}, ${server.adopted ? 'still running from an earlier start' : `from ${server.source}`}`;
}

/** Names directories outside of the clone when they are made, and when nothing uses them any more. */
export function tellOutside(story: Story, { outside, forgotten }: PostgresServer): void {
  if (outside?.isNew === true) {
    story.say(`The database is in ${outside.at}: PostgreSQL does not run as root, and its user may not reach .data.`);
    story.say('Deleting .data leaves that directory behind; `npm run clean` finds and removes such directories.');
  }
  for (const path of forgotten) {
    story.warn(
      `${path} holds the database of an earlier .data, and nothing uses it. To remove it: npm run clean -- --remove`,
    );
  }
}

export function describeTemporal(server: TemporalServer): string {
  return `${server.address}, Web UI ${server.uiUrl}${server.adopted ? ', still running from an earlier start' : ''}`;
}

/** Warns of a server of another version: its behavior and its messages are untested. */
export function tellOtherVersion(story: Story, { path, version, wanted }: OtherVersion): void {
  story.warn(
    `${path} is Temporal CLI ${version}; this was made and tried with ${wanted}. TEMPORAL_CLI_PATH names another.`,
  );
}

const OPEN_STATES = [
  'PLACING',
  'PLACEMENT_UNKNOWN',
  'AWAITING_PAYMENT',
  'EXPIRED',
  'CREDITING',
  'IN_REVIEW',
] as const satisfies readonly Deposit['state'][];
const MOST_COUNTED = 100;

/** Prints how many deposits of earlier starts continue; prints nothing if there are none. */
export async function tellOpenDeposits(story: Story, api: DepositClient): Promise<void> {
  const counts: string[] = [];
  for (const state of OPEN_STATES) {
    let count = 0;
    for await (const { state: found } of api.deposits.list({ state: [state], limit: MOST_COUNTED })) {
      if (found === state) count += 1;
      if (count === MOST_COUNTED) break;
    }
    if (count > 0) counts.push(`${count === MOST_COUNTED ? '100 or more' : count} ${state}`);
  }
  if (counts.length > 0) story.say(`Open deposits of earlier starts go on: ${counts.join(', ')}.`);
}

/** Prints every address worth opening. Secrets are named, not shown. */
export function tellLinks(story: Story, facts: StackFacts, sample: Deposit | null, shop: string | null): void {
  const { places, temporalUiUrl } = facts;
  story.heading('Links');
  if (sample !== null) {
    if (sample.webUi !== null) story.link('this deposit', sample.webUi);
    if (sample.redirectUrl !== null) story.link('its checkout page', sample.redirectUrl);
  }
  if (shop !== null) story.link('sample shop', `${shop}  (order, pay, and see its page tick)`);
  if (temporalUiUrl !== null) story.link('Temporal Web UI', temporalUiUrl);
  story.link('API', `${places.apiUrl}/v1/deposits`);
  story.link('callbacks', places.callbackBaseUrl);
  if (places.sandboxUrl !== null) {
    story.link('sandbox console', `${places.sandboxUrl}/console  (password: SANDBOX_CONTROL_TOKEN in .data/local.env)`);
  } else {
    story.link('provider', places.mtpayBaseUrl);
  }
  story.link('keys and addresses', '.data/local.env (only you can read it)');
  story.link('logs', '.data/logs/');
}

/** Prints a deposit to paste; the secrets stay in their file. Only for the sandbox: elsewhere the order is real. */
export function tellTryIt(story: Story, facts: StackFacts): void {
  if (facts.places.sandboxUrl === null) return;
  story.heading('Try it');
  const lines = [
    'set -a; . .data/local.env; set +a; N=mine-$RANDOM',
    `curl -s "$API_URL/v1/deposits" -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' \\`,
    `  -d '{"externalOrderNumber":"'$N'","wallet":"wallet-7","buyCoinMode":"MtcAmount","mtcAmount":"250",` +
      `"currencyCode":"HKD","supportLanguage":"en","payerRealName":"Test Person"}'`,
    '',
    'Open the redirectUrl of the answer to pay as the customer would, or pay for them:',
    `curl -s "$MTPAY_BASE_URL/control/orders/$N/pay" -H "Authorization: Bearer $SANDBOX_CONTROL_TOKEN" \\`,
    `  -H 'Content-Type: application/json' -d '{"immediately":true}'`,
    `curl -s "$API_URL/v1/wallets/wallet-7" -H "Authorization: Bearer $API_KEY"`,
    '',
    'Notifications as they arrive, in another terminal: npm run listen',
  ];
  for (const line of lines) story.say(line);
}
