import type { Express, RequestHandler } from 'express';
import { z } from 'zod';
import { RETRY_AFTER_SECONDS } from '../../contract/errors.ts';
import type { Operation } from '../../contract/operation.ts';
import type { ProvenCaller } from '../../database/queries/api-keys.ts';
import { type AccessDependencies, callerOf, requireScope } from './authenticate.ts';
import { check, readBody } from './body.ts';
import { bytesOf, onlyMethods, readBytes, requireJson } from './http.ts';

type Read<S> = S extends z.ZodType ? z.output<S> : undefined;

/** The validated input of a handler. `caller` is set if the operation requires scopes. */
export interface Call<O extends Operation> {
  readonly params: Read<O['params']>;
  readonly query: Read<O['query']>;
  readonly body: Read<O['body']>;
  readonly caller: ProvenCaller;
  /** Aborted when the response is finished or the client has gone. */
  readonly gone: () => AbortSignal;
}

declare const replied: unique symbol;
/** The response of a handler. Only {@link Respond} makes it, so its status and body are declared ones. */
export interface Reply {
  readonly [replied]: true;
}

/** Responds with a declared status and its body. Refusals are thrown as `RequestRefused` instead. */
export type Respond<O extends Operation> = <S extends keyof O['answers'] & number>(
  status: S,
  body: O['answers'][S]['schema'] extends z.ZodType ? z.input<O['answers'][S]['schema']> : null,
  headers?: Readonly<Record<string, string>>,
) => Reply;

/** An operation with its handler. */
export interface Bound {
  readonly operation: Operation;
  readonly handle: RequestHandler;
}

/** Validates the request, calls `handle`, and sends its response. */
export const bind = <const O extends Operation>(
  declared: O,
  handle: (call: Call<O>, respond: Respond<O>) => Promise<Reply> | Reply,
): Bound => ({
  operation: declared,
  handle: async (request, response) => {
    const read = (schema: z.ZodObject | undefined, value: unknown) => check(schema ?? z.strictObject({}), value);
    const respond = (status: number, body: unknown, headers = {}) => {
      response.status(status).set(headers);
      if (status === 202) response.set('retry-after', String(RETRY_AFTER_SECONDS));
      const { contentType: type, schema } = declared.answers[status]!;
      if (schema === null) response.end();
      else if (type === undefined) response.json(body);
      else response.type(type).send(body);
    };
    await handle(
      {
        params: read(declared.params, request.params),
        query: read(declared.query, request.query),
        body: declared.body === undefined ? undefined : readBody(declared.body, bytesOf(request)),
        caller: callerOf(response),
        gone: () => {
          const gone = new AbortController();
          response.once('close', () => gone.abort());
          if (response.destroyed) gone.abort();
          return gone.signal;
        },
      } as Call<O>,
      respond as unknown as Respond<O>,
    );
  },
});

const METHODS = { GET: 'get', POST: 'post', PATCH: 'patch', DELETE: 'delete' } as const;

/**
 * Serves the operations: checks key, media type and size, then calls the handler. Other methods of their paths are
 * refused.
 */
export function serve(app: Express, deps: AccessDependencies, all: readonly Bound[]): void {
  const paths = [...new Set(all.map((bound) => bound.operation.path))];
  for (const path of paths) {
    const here = all.filter((bound) => bound.operation.path === path);
    const route = app.route(path.replaceAll(/\{(\w+)\}/g, ':$1'));
    for (const { operation: declared, handle } of here) {
      const access = declared.scopes.length === 0 ? [] : [requireScope(deps, ...declared.scopes)];
      const reading = declared.body === undefined ? [] : [requireJson, readBytes];
      route[METHODS[declared.method]](...access, ...reading, handle);
    }
    route.all(onlyMethods(...here.map((bound) => bound.operation.method).toSorted()));
  }
}
