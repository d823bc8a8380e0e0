/** Proves from the API and from the ledger that a deposit was credited exactly once and that the books balance. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { DepositClient } from '../../client/src/client.ts';
import { withClient } from '../../database/pool.ts';
import { deliveriesAtSandbox } from '../stack/sandbox-api.ts';

const PATIENCE_MS = 20_000;
const POLL_MS = 50;

/** One check; `found` states the observation. */
export type ProofCheck = { readonly holds: boolean; readonly found: string };

/**
 * Checks the deposit through the API and in the ledger. `databaseUrl` is the owner's: the connection sets the auditor's
 * role before it reads.
 */
export async function proveCreditedOnce(
  api: DepositClient,
  databaseUrl: string,
  externalOrderNumber: string,
  amount: string,
): Promise<ProofCheck[]> {
  const deposit = await api.deposits.read(externalOrderNumber);
  const wallet = await api.wallets.read(deposit.wallet);
  const shown = wallet.postings.filter((posting) => posting.externalOrderNumber === externalOrderNumber);
  const ledger = await readLedger(databaseUrl, externalOrderNumber);
  return [
    { holds: deposit.state === 'CREDITED', found: `the deposit is ${deposit.state}` },
    {
      holds: shown.length === 1 && shown[0]?.amount === amount,
      found: `the wallet shows ${shown.length} posting(s) for it: ${shown.map((p) => `${p.amount} MTC`).join(', ')}`,
    },
    { holds: ledger.postings === 1, found: `the ledger holds ${ledger.postings} posting(s) for it` },
    ...ledger.audit.map(({ fault, found }) => ({ holds: found === 0, found: `${fault}: ${found}` })),
  ];
}

/** Checks that the sandbox counts the order's callback as acknowledged; otherwise it would retry for three days. */
export async function proveAcknowledged(
  sandboxUrl: string,
  controlToken: string,
  externalOrderNumber: string,
): Promise<ProofCheck> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const deliveries = await deliveriesAtSandbox(sandboxUrl, controlToken, externalOrderNumber);
    if (deliveries.length > 0 && deliveries.every(({ state }) => state === 'ACKNOWLEDGED')) {
      return { holds: true, found: 'the provider takes the callback for acknowledged' };
    }
    const problem = deliveries.flatMap(({ attempts }) => attempts.map((attempt) => attempt.problem)).find(Boolean);
    if (problem !== undefined || performance.now() > until) {
      return {
        holds: false,
        found: `the provider does not take the callback for acknowledged: ${problem ?? 'no answer'}`,
      };
    }
    await sleep(POLL_MS);
  }
}

const readLedger = (databaseUrl: string, externalOrderNumber: string) =>
  withClient({ connectionString: databaseUrl }, async (client) => {
    await client.query('set role auditor');
    const postings = await client.query<{ count: string }>(
      'select count(*) from ledger.transaction where deposit = $1',
      [externalOrderNumber],
    );
    const audit = await client.query<{ fault: string; found: string }>('select fault, found from ledger.audit()');
    return {
      postings: Number(postings.rows[0]?.count),
      audit: audit.rows.map(({ fault, found }) => ({ fault, found: Number(found) })),
    };
  });
