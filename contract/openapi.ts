import { z } from 'zod';
import { DECISION_FAULTS, type DecisionFault } from '../domain/decision.ts';
import type { Refusal } from '../ledger/decide.ts';
import { REFUSALS } from '../providers/mtpay/place.ts';
import { UNSIGNED } from './errors.ts';
import { type ErrorCode, HTTP } from './errors.ts';
import { type Answer, impliedRefusals, type Operation } from './operation.ts';

type Json = Readonly<Record<string, unknown>>;

/** What `code` is in a 422: the provider's statusCode, or our own reason for not asking it. */
const NOT_PLACED = [...REFUSALS, 'NOT_SENT', 'TOO_LATE'] as const;

/** What `code` is in the 409 of a decision. */
const BY_BOOKS = ['unproven', 'withdrawn', 'facts_differ', 'not_possible'] as const satisfies Refusal[];
const NOT_DECIDED: readonly (DecisionFault | Refusal)[] = [...DECISION_FAULTS, ...BY_BOOKS] satisfies Complete;
const NOT_SIGNED = Object.keys(UNSIGNED) as (keyof typeof UNSIGNED)[];
/** Does not compile when the books refuse for a reason that is not listed here. */
type Complete =
  Exclude<Refusal, DecisionFault | (typeof BY_BOOKS)[number]> extends never
    ? readonly (DecisionFault | Refusal)[]
    : never;

/** 405 and 500 aside, which belong to no operation: a method that is none, and a defect. */
type Documented = Exclude<ErrorCode, 'method_not_allowed' | 'internal_error'>;

const WHEN = {
  invalid_request:
    'Something in the request is not as described; `errors` names each field at fault. Unknown fields and parameters are refused, ' +
    'and so is a create whose payment could not be read or booked at the configured rates.',
  unauthorized: 'No key, or not a living one: missing, malformed, unknown, expired and revoked look the same.',
  forbidden: 'The key does not have the scope, or is limited to other wallets.',
  not_found: 'There is none, or it belongs to a wallet that the key is not limited to.',
  other_parameters: 'The order number stands with other parameters. Nothing was changed.',
  payload_too_large: 'The body is larger than 16 kB.',
  unsupported_media_type: 'The body is not plain JSON in UTF-8 without content-encoding.',
  refused:
    'There is no order; `code` says why: the provider’s statusCode, NOT_SENT or TOO_LATE. Final for this order number.',
  decision_refused:
    'The step was not taken, and nothing was moved; `code` says why. `credited_meanwhile`: another payment stands in the wallet ' +
    'that gets the money, or not the one named as `beside`: look again. `facts_required`: to credit what cannot be read takes ' +
    '`facts`, and nothing else does. `facts_differ`: the two people state another payment. `withdrawn`: the proposal was taken ' +
    'back first. `not_written`: the step is not in the table as it was told. `unproven` and `not_possible` come from the books. ' +
    '`signature_required`, `signature_wrong` and `signature_used` are about the signature, and the step is not written.',
  rate_limited: 'More requests than the key may make, or too many failed authentications from this address.',
  unavailable: 'Nothing was accepted; the same request may be repeated.',
} as const satisfies Record<Documented, string>;

const problem = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z
      .enum([...(Object.keys(HTTP) as ErrorCode[]), ...NOT_PLACED, ...NOT_DECIDED, ...NOT_SIGNED])
      .meta({ description: 'For programs. A closed list.' }),
    detail: z.string().meta({ description: 'For people: what was found, what is allowed.' }),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Fields at fault, at most 20, never their values.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });

/** Collects the named schemas on the way; everything else stands where it is used. */
function createSchemas() {
  const components: Record<string, Json> = {};
  const write = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const {
      $schema: _,
      $defs = {},
      ...rest
    } = z.toJSONSchema(schema, {
      target: 'draft-2020-12',
      io,
      override: ({ zodSchema, jsonSchema }) => {
        const { wire, ...said } = z.globalRegistry.get(zodSchema) ?? {};
        delete (jsonSchema as Record<string, unknown>)['wire'];
        if (wire === undefined) return;
        const { description, examples } = said as Json;
        for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Record<string, unknown>)[key];
        Object.assign(
          jsonSchema,
          wire,
          description === undefined ? {} : { description },
          examples === undefined ? {} : { examples },
        );
      },
    }) as Json & { $defs?: Record<string, Json> };
    for (const [name, found] of Object.entries($defs)) components[name] = relocated(found);
    return relocated(rest);
  };
  return { components, write };
}

const relocated = (schema: Json): Json =>
  JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/')) as Json;

type Schemas = ReturnType<typeof createSchemas>;

function shownCodes(code: Documented): readonly string[] {
  if (code === 'refused') return NOT_PLACED;
  return code === 'decision_refused' ? [...NOT_DECIDED, ...NOT_SIGNED] : [code];
}

function refusalResponse(code: Documented): Json {
  const { status, title } = HTTP[code];
  const codes = shownCodes(code);
  return {
    description: WHEN[code],
    ...(code === 'unauthorized' ? { headers: { 'WWW-Authenticate': header('Bearer', { type: 'string' }) } } : {}),
    ...(code === 'rate_limited' || code === 'unavailable'
      ? { headers: { 'Retry-After': header('Seconds to wait.', { type: 'integer', minimum: 1 }) } }
      : {}),
    content: {
      'application/problem+json': {
        schema: {
          allOf: [
            { $ref: '#/components/schemas/Problem' },
            { properties: { status: { const: status }, code: { enum: codes } } },
          ],
        },
        example: { type: 'about:blank', title, status, code: codes[0], detail: WHEN[code] },
      },
    },
  };
}

const header = (description: string, schema: Json) => ({ description, required: true, schema });

function answerResponse(schemas: Schemas, answer: Answer, isCreated: boolean): Json {
  const links = Object.entries(answer.links ?? {}).map(([operationId, parameters]) => [
    operationId,
    {
      operationId,
      parameters: Object.fromEntries(Object.entries(parameters).map(([name, at]) => [name, `$response.body#${at}`])),
    },
  ]);
  return {
    description: answer.description,
    ...(isCreated ? { headers: { Location: header('The deposit.', { type: 'string' }) } } : {}),
    content: {
      [answer.contentType ?? 'application/json']: {
        schema: schemas.write(answer.schema, 'output'),
        ...(answer.example === undefined ? {} : { example: answer.example }),
      },
    },
    ...(links.length === 0 ? {} : { links: Object.fromEntries(links) }),
  };
}

function parametersOf(schemas: Schemas, { params, query }: Operation): Json[] {
  const of = (schema: z.ZodObject | undefined, place: 'path' | 'query') =>
    Object.entries(schema?.shape ?? {}).map(([name, field]) => {
      const { description, ...rest } = schemas.write(field as z.ZodType, 'input');
      const isOptional = (field as z.ZodType).safeParse(undefined).success;
      return {
        name,
        in: place,
        required: !isOptional,
        ...(description === undefined ? {} : { description }),
        schema: rest,
      };
    });
  return [...of(params, 'path'), ...of(query, 'query')];
}

function operationObject(schemas: Schemas, declared: Operation): Json {
  const refusals = [...impliedRefusals(declared), ...(declared.refusals ?? [])] as Documented[];
  const parameters = parametersOf(schemas, declared);
  const responses = [
    ...Object.entries(declared.answers).map(
      ([status, answer]) =>
        [
          status,
          answerResponse(schemas, answer, declared.method === 'POST' && declared.answers[201] !== undefined),
        ] as const,
    ),
    ...refusals.map((code) => [String(HTTP[code].status), { $ref: `#/components/responses/${code}` }] as const),
  ];
  return {
    operationId: declared.id,
    tags: [declared.tag],
    summary: declared.summary,
    ...(declared.description === undefined ? {} : { description: declared.description }),
    // A scope of several that will do is a way in of its own.
    security: declared.scopes.map((scope) => ({ apiKey: [scope] })),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(declared.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemas.write(declared.body, 'input') } },
          },
        }),
    responses: Object.fromEntries(responses.toSorted(([a], [b]) => Number(a) - Number(b))),
  };
}

const DESCRIPTION =
  'The private API of the deposit engine. Amounts are decimal strings, times RFC 3339 in UTC. Unknown fields and ' +
  'parameters are refused. Errors are RFC 9457 with a closed `code`; a method that is not listed is answered 405. What is ' +
  'not HTTP, or more than 8 kB of address and headers, is answered 400, 408, 413 or 431 without a body.';

/** OpenAPI 3.1 of the operations, made from the schemas that check what comes and describe what is sent. */
export function openApiDocument(operations: readonly Operation[]): Json {
  const schemas = createSchemas();
  schemas.write(z.object({ problem }), 'output');
  const paths: Record<string, Record<string, Json>> = {};
  for (const declared of operations) {
    (paths[declared.path] ??= {})[declared.method.toLowerCase()] = operationObject(schemas, declared);
  }
  const used = new Set(
    operations.flatMap((one) => [...impliedRefusals(one), ...(one.refusals ?? [])]),
  ) as Set<Documented>;
  return {
    openapi: '3.1.0',
    info: {
      title: 'Deposit engine',
      version: '1',
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(operations.map((one) => one.tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key. Keys are issued with scopes; each operation names the scopes that will do.',
        },
      },
      responses: Object.fromEntries([...used].map((code) => [code, refusalResponse(code)])),
      schemas: schemas.components,
    },
  };
}
