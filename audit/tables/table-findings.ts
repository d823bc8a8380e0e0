import type pg from 'pg';
import type { SignatureTrust } from '../../config/keys/operator-keys.ts';
import { findUnsigned } from '../../database/queries/signed-steps.ts';
import type { LinkRules } from '../../providers/checkout-link.ts';
import type { SealTrust } from '../../providers/sealed-rows.ts';
import { checkKeys } from './api-keys.ts';
import { checkLedger, checkTables } from './books.ts';
import { doubleExplaining, type Exceptions, NO_EXCEPTIONS } from '../exceptions.ts';
import { checkInbox, checkSealEpoch } from './inbox.ts';
import { checkHosts } from './links.ts';
import type { Finding } from '../report/report.ts';

const BATCH = 500;

const RESTORES = `select to_char(r.at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at from engine.restored r order by r.at`;

/** The keys and rules that the audit verifies with, all from its own settings. */
export interface Trusts {
  readonly sealTrust: SealTrust;
  /** Steps up to id `after` need no signature. Absent: none does. */
  readonly signatures?: { readonly trust: SignatureTrust; readonly after: string };
  readonly exceptions?: Exceptions;
  /** Allowed hosts of checkout links. Absent: not known, which the report notes. */
  readonly links?: LinkRules;
}

/**
 * Runs all checks of the tables alone. `notes`: sentences about explained facts; `callbacks`: number of callbacks read.
 */
export async function findInTables(
  db: pg.ClientBase,
  { sealTrust, signatures, exceptions = NO_EXCEPTIONS, links }: Trusts,
): Promise<{
  readonly findings: Finding[];
  readonly notes: string[];
  readonly callbacks: number;
  readonly since: ReadonlyMap<string, string>;
}> {
  const [findings, notes]: [Finding[], string[]] = [[], []];
  for (const finding of await checkTables(db)) {
    const known = doubleExplaining(finding, exceptions);
    if (known === undefined) findings.push(finding);
    else notes.push(`Of deposit ${known.deposit} ${finding.detail}: ${known.reason}`);
  }
  const keys = await checkKeys(db);
  findings.push(...(await checkLedger(db)), ...keys.findings);
  if (links === undefined)
    notes.push('To which hosts checkout links may lead is not set here, so it was not looked at.');
  else findings.push(...(await checkHosts(db, links)));
  const seals = await checkSealEpoch(db, sealTrust);
  const inbox = await checkInbox(db, sealTrust, BATCH, () => undefined);
  findings.push(...seals.findings, ...inbox.findings);
  if (inbox.unsealed > 0) notes.push(`Callbacks without a seal, from before ${seals.since}: ${inbox.unsealed}`);
  const { rows: restores } = await db.query<{ at: string }>(RESTORES);
  for (const { at } of restores)
    notes.push(`That this database was restored was noted ${at}: what was lost by it is excused from then on.`);
  const { trust, after } = signatures ?? { trust: { required: false, keys: new Map() }, after: '0' };
  for (const { id, fault } of await findUnsigned(db, trust, after, BATCH))
    findings.push({ kind: 'step_not_signed', where: `decision ${id}`, detail: fault });
  return { findings, notes, callbacks: inbox.checked, since: keys.since };
}
