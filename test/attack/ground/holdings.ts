import type { Random } from '../random.ts';
import type { Ticket, Victim } from './victims.ts';
import type { Attempt } from './wire.ts';

/** What an attacker works with: whose deposit it is about, what was read, and what of it may be used. */
export interface Holdings {
  readonly random: Random;
  /** Whose deposit the attempt is about: paid or not. */
  readonly target: Victim;
  /** A paid deposit of the attacker's own: its token and its callback are known in every series. */
  readonly own: Victim;
  /** Any signature that was ever seen, in either direction. */
  readonly ticket: Ticket;
  /** The callback of the target as it came, or as it would come, less what this attacker does not have. */
  readonly base: { readonly path: string; readonly body: string };
}

/** One way of attacking. `rows` are rows of docs/internals/threat-model.md. */
export interface AttackClass {
  readonly name: string;
  readonly rows: readonly string[];
  /** Sent on lines of its own, so that there are few of it. */
  readonly few?: true;
  /** Odd, but a callback all the same when token and signature are right. */
  readonly harmless?: true;
  forge(holdings: Holdings): Attempt;
}
