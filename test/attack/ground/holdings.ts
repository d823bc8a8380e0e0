import type { Random } from '../random.ts';
import type { Ticket, Victim } from './victims.ts';
import type { Attempt } from './wire.ts';

/** The attacker's material: the deposit under attack, the captured traffic, and the part of it that may be used. */
export interface Holdings {
  readonly random: Random;
  /** The deposit under attack: paid or not. */
  readonly target: Victim;
  /** A paid deposit of the attacker's own: its token and its callback are known in every series. */
  readonly own: Victim;
  /** Any signature that was ever seen, in either direction. */
  readonly ticket: Ticket;
  /** The callback of the target as it came, or as it would come, without the parts that this attacker lacks. */
  readonly base: { readonly path: string; readonly body: string };
}

/** One way of attacking. `rows` are rows of docs/internals/threat-model.md. */
export interface AttackClass {
  readonly name: string;
  readonly rows: readonly string[];
  /** Sent on connections of its own, so that there are few of it. */
  readonly few?: true;
  /** Odd, but a valid callback when token and signature are right. */
  readonly harmless?: true;
  forge(holdings: Holdings): Attempt;
}
