import { z } from 'zod';
import { type ErrorCode, HTTP, NO_LIVING_KEY } from './errors.ts';
import { codesOf, PROBLEMS, typeOf } from './problems.ts';
import { type Answer, impliedRefusals, type Operation } from './operation.ts';

type Json = Readonly<Record<string, unknown>>;

/** All codes but 405 and 500, which belong to no operation: an unknown method, and a defect. */
type Documented = Exclude<ErrorCode, 'method_not_allowed' | 'internal_error'>;

/** Responses, word for word; for a kind with codes of its own, one of these codes. */
const EXAMPLES: Readonly<
  Record<Documented, { readonly code?: string; readonly detail: string; readonly errors?: Json[] }>
> = {
  invalid_request: { detail: 'dry: unknown field', errors: [{ field: 'dry', message: 'unknown field' }] },
  unauthorized: { detail: NO_LIVING_KEY },
  forbidden: { detail: 'this needs the scope deposits:create' },
  not_found: { detail: 'no deposit order-1001' },
  other_parameters: { detail: 'deposit order-1001 was created with other parameters; nothing was changed' },
  epoch_changed: { detail: 'this cursor is of epoch 1, and now is 2' },
  payload_too_large: { detail: 'at most 16 kB' },
  unsupported_media_type: { detail: 'send content-type application/json, charset utf-8 or none' },
  refused: { code: 'NO_ADVERTISEMENT', detail: 'the provider refused the order: no advertisement' },
  limit_reached: { detail: 'there are as many as may be: 20 endpoints of one name' },
  not_configured: { detail: 'this API has no ENDPOINT_SECRET_KEY, so it makes no secrets of endpoints' },
  decision_refused: { code: 'case_closed', detail: 'the case is decided, or a decision is being carried out' },
  rate_limited: { detail: 'too many requests; the header Retry-After says when to go on' },
  unavailable: { detail: 'the database did not finish it; the same request may be repeated' },
};

const problem = z
  .strictObject({
    type: z
      .string()
      .regex(/^\/docs#error-\w+$/)
      .meta({
        description: 'The address on this listener that explains the code.',
        examples: [typeOf('not_found')],
      }),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.enum(Object.keys(PROBLEMS)).meta({ description: 'For programs. A closed list.' }),
    detail: z.string().meta({ description: 'For readers: the fault, and the allowed values.' }),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Fields at fault, at most 20, without their values.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });

/** Collects the named schemas; every other schema is written where it is used. */
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

function refusalResponse(code: Documented): Json {
  const { status, title } = HTTP[code];
  const codes = codesOf(code);
  const { code: shown = code, ...said } = EXAMPLES[code];
  return {
    description: describe(code),
    ...(code === 'unauthorized' ? { headers: { 'WWW-Authenticate': header('Bearer', { type: 'string' }) } } : {}),
    ...(code === 'rate_limited' || code === 'unavailable' ? { headers: RETRY_AFTER } : {}),
    content: {
      'application/problem+json': {
        schema: {
          allOf: [
            { $ref: '#/components/schemas/Problem' },
            { properties: { type: { enum: codes.map(typeOf) }, status: { const: status }, code: { enum: codes } } },
          ],
        },
        example: { type: typeOf(shown), title, status, code: shown, ...said },
      },
    },
  };
}

/** Returns the meaning of a kind and, if it has codes of its own, of each code. */
const describe = (kind: Documented): string =>
  [kind, ...codesOf(kind).filter((code) => code !== kind)]
    .map((code) => (code === kind ? PROBLEMS[code]!.meaning : `\`${code}\`: ${PROBLEMS[code]!.meaning}`))
    .join(' ');

const header = (description: string, schema: Json) => ({ description, required: true, schema });
const RETRY_AFTER = { 'Retry-After': header('Seconds to wait.', { type: 'integer', minimum: 1 }) };

function answerResponse(schemas: Schemas, answer: Answer, isCreated: boolean, isUnfinished: boolean): Json {
  const links = Object.entries(answer.links ?? {}).map(([operationId, parameters]) => [
    operationId,
    {
      operationId,
      parameters: Object.fromEntries(Object.entries(parameters).map(([name, at]) => [name, `$response.body#${at}`])),
    },
  ]);
  const headers = {
    ...(isCreated ? { Location: header('Its address.', { type: 'string' }) } : {}),
    ...(isUnfinished ? RETRY_AFTER : {}),
  };
  return {
    description: answer.description,
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...(answer.schema === null
      ? {}
      : {
          content: {
            [answer.contentType ?? 'application/json']: {
              schema: schemas.write(answer.schema, 'output'),
              ...(answer.example === undefined ? {} : { example: answer.example }),
            },
          },
        }),
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
          answerResponse(
            schemas,
            answer,
            declared.method === 'POST' && declared.answers[201] !== undefined,
            status === '202',
          ),
        ] as const,
    ),
    ...refusals.map((code) => [String(HTTP[code].status), { $ref: `#/components/responses/${code}` }] as const),
  ];
  return {
    operationId: declared.id,
    tags: [declared.tag],
    summary: declared.summary,
    ...(declared.description === undefined ? {} : { description: declared.description }),
    // Each of several sufficient scopes is a security alternative of its own.
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
  'parameters are refused. Errors are RFC 9457 with a closed `code`; a method that is not listed gets 405. ' +
  'Malformed HTTP, or more than 8 kB of address and headers, gets 400, 408, 413 or 431 without a body.';

/** Returns the OpenAPI 3.1 document, made from the schemas that check requests and describe responses. */
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
          description: 'An API key. Keys are issued with scopes; each operation names the scopes that suffice.',
        },
      },
      responses: Object.fromEntries([...used].map((code) => [code, refusalResponse(code)])),
      schemas: schemas.components,
    },
  };
}
