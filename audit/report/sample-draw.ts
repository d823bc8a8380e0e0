import { createHash } from 'node:crypto';
import { formatUnits } from '../../domain/money.ts';
import { CappedList } from './capped-list.ts';
import type { Drawn, ScheduleLine } from './report.ts';
import { unitsOf } from './sums.ts';

/** The sample to draw: `count` credits, equally likely or by amount. */
export interface DrawOrder {
  readonly count: number;
  readonly seed: number;
  readonly by: 'line' | 'amount';
}

/** All credits that may be drawn, in units of 1e-8. */
export interface Population {
  readonly lines: number;
  readonly amount: bigint;
}

/**
 * Draws from lines in their order, in constant memory. Anybody can repeat the draw by hand.
 * - `line`: the `count` lines whose sha256 of `seed|posting` is lowest.
 * - `amount`: monetary-unit sampling. The amounts are laid end to end, with selection points at a fixed interval from a
 *   start that follows from the seed. A credit that contains a point is drawn.
 */
export class SampleDraw {
  readonly #order: DrawOrder;
  readonly #population: Population;
  readonly #interval: bigint;
  readonly #start: bigint;
  readonly #alike: CappedList<ScheduleLine>;
  readonly #cut: ScheduleLine[] = [];
  #laid = 0n;
  #next: bigint;

  constructor(order: DrawOrder, population: Population) {
    this.#order = order;
    this.#population = population;
    this.#interval = population.amount / BigInt(order.count) || 1n;
    this.#start = BigInt(`0x${hashOf(`${order.seed}|start`)}`) % this.#interval;
    this.#next = this.#start;
    this.#alike = new CappedList(order.count, ({ posting }) => hashOf(`${order.seed}|${posting}`));
  }

  /** Offers a credit; `amount`: the part that went into the wallet, MTC. */
  offer(line: ScheduleLine, amount: string): void {
    if (this.#order.by === 'line') return this.#alike.add(line);
    this.#laid += unitsOf(amount);
    if (this.#next >= this.#laid || this.#cut.length >= this.#order.count) return;
    this.#cut.push(line);
    this.#next += ((this.#laid - 1n - this.#next) / this.#interval + 1n) * this.#interval;
  }

  drawn(): Drawn {
    const { by, seed, count } = this.#order;
    const lines = by === 'amount' ? this.#cut : this.#alike.state().listed.toSorted((a, b) => a.line - b.line);
    return {
      by,
      seed,
      asked: count,
      ofLines: this.#population.lines,
      ofAmount: formatUnits(this.#population.amount),
      interval: by === 'amount' ? formatUnits(this.#interval) : null,
      start: by === 'amount' ? formatUnits(this.#start) : null,
      lines,
    };
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');
