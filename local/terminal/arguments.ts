/** The command line of `npm start`. */

import { readArguments, UsageError } from '../../config/command-line.ts';

export type LocalOptions = {
  readonly once: boolean;
  readonly help: boolean;
  /** `--once` was given without the separating `--`, so npm took it as its own flag. */
  readonly onceByNpm: boolean;
};

export const usage = `npm start [-- --once | --help]

Starts the whole engine on this machine: Temporal with its Web UI, PostgreSQL, the payment provider's sandbox, the
worker, the notifier and the API. Then takes one real deposit from order to wallet and stays up until Ctrl-C. Everything it keeps is
in .data/; deleting that directory means a first start. For root the database is below /var/tmp, because PostgreSQL
refuses root: a start says where, a first start names what an earlier .data has left there, and \`npm run clean\` finds
and removes such directories.

  --once    stop after the deposit; succeeds only if its callback was acknowledged, it was credited exactly once and the
            ledger balances
  --help    this text

These switch an embedded part off: TEMPORAL_ADDRESS; DATABASE_URL; MTPAY_BASE_URL with MTPAY_ACCESS_KEY and
MTPAY_SECRET_KEY (then no sample deposit is placed). TEMPORAL_CLI_PATH names a Temporal CLI to use.`;

/**
 * Parses the flags. From `npm start --once`, only npm's own variable reaches us.
 * @throws UsageError for anything that is not a known flag.
 */
export function parseArguments(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): LocalOptions {
  try {
    const off = { type: 'boolean', default: false } as const;
    const options = { once: off, help: { ...off, short: 'h' } } as const;
    const { values } = readArguments(args, options, { allowPositionals: false });
    const onceByNpm = !values.once && env['npm_config_once'] === 'true';
    return { ...values, once: values.once || onceByNpm, onceByNpm };
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message}.\n\n${usage}`, { cause });
  }
}
