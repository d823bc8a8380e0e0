import {
  type ConfirmRequest,
  type DepositClient,
  type ProposeRequest,
  type ReviewCase,
  type WithdrawRequest,
} from '../client/src/client.ts';
import { UsageError } from '../config/command-line.ts';
import { clientIn, type Given, needed, reported, type Terminal } from './api-caller.ts';
import { line, showCaseText } from './review-text.ts';

/** The commands at the terminal and their output. The API decides; this code only calls it. */

/** The options of a step, for `parseArgs`. */
export const STEP_OPTIONS = {
  reason: { type: 'string' },
  keep: { type: 'boolean', default: false },
  to: { type: 'string' },
  beside: { type: 'string' },
  'only-ordered': { type: 'boolean', default: false },
  code: { type: 'string' },
  amount: { type: 'string' },
  currency: { type: 'string' },
  price: { type: 'string' },
  'statement-line': { type: 'string' },
} as const;

export interface ReviewOptions extends Given<typeof STEP_OPTIONS> {
  readonly closed?: boolean | undefined;
  readonly deposit?: string | undefined;
  readonly posting?: string | undefined;
  readonly case?: string | undefined;
  /** Signing only: the wallet of the deposit that `to`, or the proposal, names. */
  readonly wallet?: string | undefined;
}

/**
 * Adds the signature of the operator's own device to a step; resolves after he has seen what he signs. Null: he does
 * not sign.
 */
export type StepSigner = (about: {
  readonly client: DepositClient;
  readonly id: string;
  readonly step: StepName;
  readonly body: StepBody;
  readonly wallet: string | null;
}) => Promise<StepBody | null>;

type StepName = 'propose' | 'confirm' | 'withdraw';
type AnyStep = ProposeRequest & ConfirmRequest & WithdrawRequest;
/** The request body of a step. */
export type StepBody = Readonly<Partial<AnyStep>>;

export const REVIEWS_USAGE = `npm run reviews -- list [--closed] [--reason REASON]
npm run reviews -- show CASE
npm run reviews -- propose CASE credit|reject|reverse|restore --reason TEXT [--keep] [--to ORDER_NUMBER] [--beside POSTING] [--only-ordered] [FACTS]
npm run reviews -- confirm CASE PROPOSAL [FACTS]
npm run reviews -- withdraw CASE PROPOSAL --reason TEXT
npm run reviews -- doubt --deposit ORDER_NUMBER | --posting POSTING | --case CASE --reason TEXT

--beside is the newest credit that the case shows, where another payment of the deposit stands in its wallet.
--only-ordered credits what was ordered where more came; the rest stays in suspense.
FACTS, to credit what cannot be read, as you read it in the provider's statement:
  --code TRANSACTION_CODE --amount MTC --currency CNY|HKD|TWD --price PRICE [--statement-line TEXT]

API_URL says where the private API is, API_KEY is your personal key with the scope reviews:decide.`;

/**
 * Runs the command in `words` and returns the exit code: 0 done, 1 failed, as when the API refuses, 2 not understood.
 */
export function runReviews(
  words: readonly string[],
  options: ReviewOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
  signer?: StepSigner,
): Promise<number> {
  return reported(() => run(words, options, env, terminal, signer), terminal, REVIEWS_USAGE);
}

/** Each command with its number of words. */
const WORDS = { list: 1, show: 2, propose: 3, confirm: 3, withdraw: 3, doubt: 1 } as const;

async function run(
  words: readonly string[],
  options: ReviewOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
  signer?: StepSigner,
): Promise<void> {
  const [command, id, third] = words;
  if (command === undefined) throw new UsageError('what shall be done?');
  if (!Object.hasOwn(WORDS, command)) throw new UsageError(`there is no ${command}`);
  const tooMuch = words.slice(WORDS[command as keyof typeof WORDS]);
  if (tooMuch.length > 0) throw new UsageError(`${tooMuch.join(' ')} is too much`);
  const client = clientIn(env);
  const show = (found: ReviewCase) => terminal.out(showCaseText(found));
  const decided = async (step: StepName, body: StepBody) => {
    const about = { client, id: needed(id, 'CASE'), step, body, wallet: options.wallet ?? null };
    const said = signer === undefined ? body : await signer(about);
    if (said === null) return terminal.out('not signed, and nothing was sent');
    // The API checks what the operator has typed.
    show(await client.reviews[step](about.id, said as AnyStep));
  };
  switch (command) {
    case 'list':
      return list(client, options, terminal);
    case 'show':
      return show(await client.reviews.read(needed(id, 'CASE')));
    case 'propose':
      return decided('propose', {
        decision: needed(third, 'credit, reject, reverse or restore') as ProposeRequest['decision'],
        reason: needed(options.reason, '--reason'),
        ...(options.keep === true ? { keep: true } : {}),
        ...(options.to === undefined ? {} : { toDeposit: options.to }),
        ...(options.beside === undefined ? {} : { beside: options.beside }),
        ...(options['only-ordered'] === true ? { onlyOrdered: true } : {}),
        ...factsIn(options),
      });
    case 'confirm':
      return decided('confirm', { proposal: needed(third, 'PROPOSAL'), ...factsIn(options) });
    case 'withdraw':
      return decided('withdraw', {
        proposal: needed(third, 'PROPOSAL'),
        reason: needed(options.reason, '--reason'),
      });
    case 'doubt':
      return show(await client.reviews.doubt({ ...doubted(options), reason: needed(options.reason, '--reason') }));
  }
}

function doubted({ case: closed, posting, deposit }: ReviewOptions) {
  if (closed !== undefined) return { case: closed };
  if (posting !== undefined) return { postingId: posting };
  return { externalOrderNumber: needed(deposit, '--deposit, --posting or --case') };
}

/** All of them or none. */
function factsIn({ code, amount, currency, price, 'statement-line': statementLine }: ReviewOptions) {
  if ([code, amount, currency, price, statementLine].every((given) => given === undefined)) return {};
  const stated = {
    transactionCode: needed(code, '--code'),
    amount: needed(amount, '--amount'),
    currencyCode: needed(currency, '--currency') as NonNullable<ConfirmRequest['facts']>['currencyCode'],
    paymentPrice: needed(price, '--price'),
  };
  return { facts: statementLine === undefined ? stated : { ...stated, statementLine } };
}

async function list(client: DepositClient, { closed, reason }: ReviewOptions, terminal: Terminal): Promise<void> {
  const state = closed === true ? 'closed' : 'open';
  let count = 0;
  for await (const found of client.reviews.list({ state, limit: 200, ...(reason === undefined ? {} : { reason }) })) {
    terminal.out(line(found));
    count += 1;
  }
  terminal.out(count === 1 ? '1 case' : `${count} cases`);
}
