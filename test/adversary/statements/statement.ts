import { createHash } from 'node:crypto';
import type { Part, Scene, Situation } from '../scene/scene.ts';

/** A value of a statement: a part of the scene, or a constant. */
export interface Value {
  readonly text: string;
  readonly take: (scene: Scene) => unknown;
}

/** One hostile statement. It names parts instead of values, so that it can be repeated for another deposit. */
export interface Statement {
  readonly role: string;
  /** The function or table that it uses: `engine.credit`, `update engine.deposit`. */
  readonly by: string;
  readonly text: string;
  readonly sql: string;
  readonly values: readonly Value[];
}

/** Several, one after the other in one transaction. */
export interface Attempt {
  readonly name: string;
  readonly steps: readonly Statement[];
}

export const literal = (value: unknown): Value => ({ text: say(value), take: () => value });
export const part = (situation: Situation, name: Part): Value => ({
  text: `${situation}.${name}`,
  take: (scene) => scene[situation][name],
});
export const built = (text: string, take: (scene: Scene) => unknown): Value => ({ text, take });
export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

function say(value: unknown): string {
  if (value === null) return 'null';
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex').slice(0, 8)}…`;
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
}

/** The situations that it refers to; another scene has other values for them. */
export function situationsOf(attempt: Attempt, scene: Scene): readonly Situation[] {
  const seen = new Set<Situation>();
  const watched = new Proxy(scene, {
    get(target, name) {
      if (typeof name === 'string' && name in target) seen.add(name as Situation);
      return Reflect.get(target, name) as unknown;
    },
  });
  for (const { values } of attempt.steps) for (const value of values) value.take(watched);
  return [...seen];
}
