import { z } from 'zod';

/**
 * One row of a table of faults: description, parameters and effect. `Effect` depends on the moment at which the fault
 * acts: a placement, a release or a callback attempt.
 */
export interface FaultKind<Effect> {
  /** One sentence for people; the console and the documents show it. */
  readonly description: string;
  /** JSON Schema of the parameters, defaults included. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Checks parameters and fills in defaults; throws a ZodError. */
  parse(params: unknown): unknown;
  /** Returns the effect for parameters that `parse` has returned. */
  effect(params: unknown): Effect;
}

/** Joins parameters and effect, so that the effect gets its own parameters typed. */
export function kind<Shape extends z.ZodRawShape, Effect>(
  description: string,
  shape: Shape,
  effect: (params: z.infer<z.ZodObject<Shape, z.core.$strict>>) => Effect,
): FaultKind<Effect> {
  const schema = z.strictObject(shape);
  return {
    description,
    params: z.toJSONSchema(schema, { io: 'input' }),
    parse: (params) => schema.parse(params),
    effect: (params) => effect(schema.parse(params)),
  };
}
