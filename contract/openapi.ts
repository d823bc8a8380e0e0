import { z } from 'zod';
import { type ErrorCode, HTTP, NO_LIVING_KEY, REQUEST_ID } from './errors.ts';
import { codesOf, PROBLEMS, typeOf } from './problems.ts';
import { type Answer, impliedRefusals, type Operation } from './operation.ts';
import { webhooks } from './webhooks.ts';

type Json = Readonly<Record<string, unknown>>;

/** All codes but 405 and 500, which belong to no operation: an unknown method, and a defect. */
type Documented = Exclude<ErrorCode, 'method_not_allowed' | 'internal_error'>;

/** The `requestId` of the examples. */
export const EXAMPLE_REQUEST = 'order-1001.first';

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
    title: z.string().meta({ description: 'The kind of refusal, for readers.' }),
    status: z.int().min(400).max(599).meta({ description: 'The status of the response.' }),
    code: z.enum(Object.keys(PROBLEMS)).meta({ description: 'For programs. A closed list.' }),
    detail: z.string().meta({ description: 'For readers: the fault, and the allowed values.' }),
    requestId: z.string().regex(REQUEST_ID).meta({ description: 'The header `Request-Id` of the response.' }),
    errors: z
      .array(
        z.strictObject({
          field: z.string().meta({ description: 'A dotted path; empty: the body itself.' }),
          message: z.string().meta({ description: 'What is allowed there.' }),
        }),
      )
      .optional()
      .meta({ description: 'Fields at fault, at most 20, without their values.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });

type Variants = { readonly by: string; readonly of: Readonly<Record<string, object>> };

/** Collects the named schemas; every other schema is written where it is used. */
function createSchemas() {
  const components: Record<string, Json> = {};
  const oneOf = ({ by, of }: Variants): Json => {
    const mapping = Object.fromEntries(
      Object.entries(of).map(([value, given]) => {
        const variant = given as z.ZodType;
        write(z.object({ variant }), 'input');
        return [value, `#/components/schemas/${z.globalRegistry.get(variant)!.id}`];
      }),
    );
    return { oneOf: Object.values(mapping).map(($ref) => ({ $ref })), discriminator: { propertyName: by, mapping } };
  };
  const write = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const {
      $schema: _,
      $defs = {},
      ...rest
    } = z.toJSONSchema(schema, {
      target: 'draft-2020-12',
      io,
      override: ({ zodSchema, jsonSchema }) => {
        const { wire: own, variants, ...said } = z.globalRegistry.get(zodSchema) ?? {};
        delete (jsonSchema as Record<string, unknown>)['wire'];
        const wire = variants === undefined ? own : oneOf(variants);
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
  JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'), described) as Json;

/** A value that may be null has the description of the value: generators and the page look for it there. */
function described(_name: string, node: unknown): unknown {
  const { anyOf, description } = (node ?? {}) as { anyOf?: readonly Json[]; description?: string };
  if (anyOf === undefined || description !== undefined || anyOf[0]?.['description'] === undefined) return node;
  const [{ description: lifted, ...first }, ...others] = anyOf as readonly [Json, ...Json[]];
  return { anyOf: [first, ...others], description: lifted };
}

type Schemas = ReturnType<typeof createSchemas>;

function refusalResponse(code: Documented): Json {
  const { status, title } = HTTP[code];
  const codes = codesOf(code);
  const { code: shown = code, ...said } = EXAMPLES[code];
  return {
    description: describe(code),
    headers: {
      ...REQUEST_ID_HEADER,
      ...(code === 'unauthorized' ? { 'WWW-Authenticate': header('Bearer', { type: 'string' }) } : {}),
      ...(code === 'rate_limited' || code === 'unavailable' ? RETRY_AFTER : {}),
    },
    content: {
      'application/problem+json': {
        schema: {
          allOf: [
            { $ref: '#/components/schemas/Problem' },
            { properties: { type: { enum: codes.map(typeOf) }, status: { const: status }, code: { enum: codes } } },
          ],
        },
        example: { type: typeOf(shown), title, status, code: shown, requestId: EXAMPLE_REQUEST, ...said },
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

/** Of every response. */
const REQUEST_ID_HEADER = { 'Request-Id': { $ref: '#/components/headers/RequestId' } };
/** Of every response to a valid key; listed for those that are no refusals. */
const RATE_HEADERS = {
  'RateLimit-Limit': { $ref: '#/components/headers/RateLimitLimit' },
  'RateLimit-Remaining': { $ref: '#/components/headers/RateLimitRemaining' },
  'RateLimit-Reset': { $ref: '#/components/headers/RateLimitReset' },
};
const COUNT = { type: 'integer', minimum: 0 };
const HEADERS = {
  RequestId: header('The `Request-Id` of the request, or one made here. Name it when you ask for help.', {
    type: 'string',
    pattern: REQUEST_ID.source,
  }),
  RateLimitLimit: header('Requests that the key may make at once. Each process counts by itself.', COUNT),
  RateLimitRemaining: header('Requests that are left of them.', COUNT),
  RateLimitReset: header('Seconds until all are allowed again.', COUNT),
};

interface About {
  readonly isCreated: boolean;
  readonly isUnfinished: boolean;
  readonly isKeyed: boolean;
}

function answerResponse(schemas: Schemas, answer: Answer, { isCreated, isUnfinished, isKeyed }: About): Json {
  const links = Object.entries(answer.links ?? {}).map(([operationId, parameters]) => [
    operationId,
    {
      operationId,
      parameters: Object.fromEntries(Object.entries(parameters).map(([name, at]) => [name, `$response.body#${at}`])),
    },
  ]);
  const headers = {
    ...REQUEST_ID_HEADER,
    ...(isKeyed ? RATE_HEADERS : {}),
    ...(isCreated ? { Location: header('Its address.', { type: 'string' }) } : {}),
    ...(isUnfinished ? RETRY_AFTER : {}),
  };
  return {
    description: answer.description,
    headers,
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
          answerResponse(schemas, answer, {
            isCreated: declared.method === 'POST' && declared.answers[201] !== undefined,
            isUnfinished: status === '202',
            isKeyed: declared.scopes.length > 0,
          }),
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
            content: {
              'application/json': {
                schema: schemas.write(declared.body, 'input'),
                example: firstExample(declared.body),
              },
            },
          },
        }),
    'x-codeSamples': [{ lang: 'Shell', label: 'curl', source: curl(declared) }],
    responses: Object.fromEntries(responses.toSorted(([a], [b]) => Number(a) - Number(b))),
  };
}

const firstExample = (schema: z.ZodType): unknown => (schema.meta()!.examples as readonly unknown[])[0];

/** Returns a command to paste, after `. .data/local.env` of the local stack. */
function curl(declared: Operation): string {
  const exampleOf = (name: string) => String(firstExample(declared.params!.shape[name] as z.ZodType));
  const path = declared.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(exampleOf(name)));
  const query = new URLSearchParams(declared.exampleQuery).toString();
  const isPlain = declared.method === 'GET' || (declared.method === 'POST' && declared.body !== undefined);
  return [
    `curl -s ${isPlain ? '' : `-X ${declared.method} `}"$API_URL${path}${query === '' ? '' : `?${query}`}"`,
    ...(declared.scopes.length === 0 ? [] : ['-H "Authorization: Bearer $API_KEY"']),
    ...(declared.body === undefined
      ? []
      : [
          "-H 'Content-Type: application/json'",
          `-d '${JSON.stringify(firstExample(declared.body)).replaceAll("'", String.raw`'\''`)}'`,
        ]),
  ].join(' \\\n  ');
}

const DESCRIPTION =
  'The private API of the deposit engine. Amounts are decimal strings, times RFC 3339 in UTC. Unknown fields and ' +
  'parameters are refused. Errors are RFC 9457 with a closed `code`; a method that is not listed gets 405. ' +
  'Malformed HTTP, or more than 8 kB of address and headers, gets 400, 408, 413 or 431 without a body. ' +
  'A header `Request-Id` of 1 to 64 of `A-Z a-z 0-9 . _ -` is echoed, otherwise one is made; it is in every problem and in our log. ' +
  'Responses to a valid key have `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.';

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
    tags: [...new Set([...operations.map((one) => one.tag), 'Notifications'])].map((name) => ({ name })),
    paths,
    webhooks: webhooks(schemas.write),
    components: {
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key. Keys are issued with scopes; each operation names the scopes that suffice.',
        },
      },
      headers: HEADERS,
      responses: Object.fromEntries([...used].map((code) => [code, refusalResponse(code)])),
      schemas: schemas.components,
    },
  };
}
