import { z } from 'zod';

/**
 * One row of a table of faults: what it is, what its parameters look like and what it does. `Effect` differs by the
 * moment the fault acts at: a placement, a release or an attempt at a callback.
 */
export interface FaultKind<Effect> {
  /** One sentence for people: the console and the documents show it. */
  readonly description: string;
  /** JSON Schema of the parameters, defaults included. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Checks parameters and fills in defaults; throws a ZodError. */
  parse(params: unknown): unknown;
  /** The effect for parameters that `parse` has returned before. */
  effect(params: unknown): Effect;
}

/** Ties parameters and effect together, so that an effect sees its own parameters typed. */
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
