import type { z } from 'zod';
import type { Scope } from '../database/queries/api-keys.ts';
import type { ErrorCode } from './errors.ts';

/** One successful response of an operation. */
export interface Answer {
  readonly description: string;
  /** Null: the response has no body (204). */
  readonly schema: z.ZodType | null;
  readonly example?: unknown;
  /** Default: application/json. */
  readonly contentType?: string;
  /** Links to other operations, from the response's body: operation id, then parameter to JSON pointer. */
  readonly links?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The full declaration of one route: it is served and documented from this alone. */
export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** As OpenAPI writes it: `/v1/deposits/{externalOrderNumber}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** A key with any of these scopes may call; empty: no key is required. */
  readonly scopes: readonly Scope[];
  readonly params?: z.ZodObject;
  /** Absent: any parameter in the query is refused. */
  readonly query?: z.ZodObject;
  /** Parameters of the query in the example of a request. */
  readonly exampleQuery?: Readonly<Record<string, string>>;
  readonly body?: z.ZodType;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Refusals beyond those that follow from the rest (`impliedRefusals`). */
  readonly refusals?: readonly ErrorCode[];
}

/** Keeps the literal types of a declaration. */
export const operation = <const O extends Operation>(declared: O): O => declared;

/** Returns the refusals that follow from the requirements of an operation. */
export function impliedRefusals(declared: Operation): ErrorCode[] {
  return [
    'invalid_request',
    ...(declared.scopes.length === 0
      ? []
      : (['unauthorized', 'forbidden', 'rate_limited', 'unavailable'] satisfies ErrorCode[])),
    ...(declared.body === undefined ? [] : (['payload_too_large', 'unsupported_media_type'] satisfies ErrorCode[])),
  ];
}
