import type { z } from 'zod';
import type { Scope } from '../database/queries/api-keys.ts';
import type { ErrorCode } from './errors.ts';

/** One answer that an operation gives when it does not refuse. */
export interface Answer {
  readonly description: string;
  readonly schema: z.ZodType;
  readonly example?: unknown;
  /** Default: application/json. */
  readonly contentType?: string;
  /** Links to other operations, from the answer's body: operation id, then parameter to JSON pointer. */
  readonly links?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Everything there is to say of one route: it is served, and documented, from this and nothing else. */
export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST';
  /** As OpenAPI writes it: `/v1/deposits/{externalOrderNumber}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Whoever holds any of them may call; none: no key is asked for. */
  readonly scopes: readonly Scope[];
  readonly params?: z.ZodObject;
  /** Absent: any parameter in the query is refused. */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answers: Readonly<Record<number, Answer>>;
  /** What it refuses with beyond what follows from the rest (`impliedRefusals`). */
  readonly refusals?: readonly ErrorCode[];
}

/** Keeps the literal types of a declaration. */
export const operation = <const O extends Operation>(declared: O): O => declared;

/** The refusals that follow from what an operation asks for. */
export function impliedRefusals(declared: Operation): ErrorCode[] {
  return [
    'invalid_request',
    ...(declared.scopes.length === 0
      ? []
      : (['unauthorized', 'forbidden', 'rate_limited', 'unavailable'] satisfies ErrorCode[])),
    ...(declared.body === undefined ? [] : (['payload_too_large', 'unsupported_media_type'] satisfies ErrorCode[])),
  ];
}
