import fc from 'fast-check';
import { type AskedOrder, orderFault } from '../../domain/order-limits.ts';
import { settings } from '../support/builders.ts';
import type { Checker, Document } from '../support/pages/document.ts';

/** One request, made from the document; `expected` is the document's prediction. */
export interface Generated {
  readonly method: string;
  /** As the document writes it. */
  readonly path: string;
  /** With the parameters in it. */
  readonly address: string;
  readonly body: string | null;
  readonly contentType: string;
  readonly credential: 'good' | 'none' | 'bad';
  readonly expected: 'valid' | 'invalid' | 'beyond the rates' | 'other type' | 'other method';
  /** The order number and wallet of a valid create. */
  readonly creates: boolean;
}

const wildText = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => text.isWellFormed()),
  fc.constantFrom(
    '',
    ' ',
    '\u0000',
    '../..',
    '%2e%2e',
    "' or 1=1--",
    '\u202e',
    '__proto__',
    'constructor',
    'null',
    '1e400',
    'x'.repeat(3_000),
  ),
);
const wildJson = fc.oneof(wildText, fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(null, true, 0, -0, 1e308, [], {}));

/** Values of a schema; of the words of JSON Schema those that the document uses. */
function valuesOf(document: Document, schema: Document): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) {
    return valuesOf(
      document,
      schema.$ref
        .slice(2)
        .split('/')
        .reduce((on: Document, step: string) => on[step], document),
    );
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) {
    return fc.oneof(...schema.anyOf.map((branch: Document) => valuesOf(document, branch)));
  }
  if (schema.oneOf !== undefined && schema.type === undefined) {
    return fc.oneof(...schema.oneOf.map((branch: Document) => valuesOf(document, branch)));
  }
  switch (schema.type) {
    case 'integer':
      return fc.integer({ min: schema.minimum, max: schema.maximum });
    case 'array':
      return fc.array(valuesOf(document, schema.items), { minLength: schema.minItems, maxLength: schema.maxItems });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return textsOf(schema);
    case 'object':
      return schema.oneOf === undefined
        ? objectsOf(document, schema)
        : fc.oneof(...schema.oneOf.map((branch: Document) => objectsOf(document, merged(schema, branch))));
    default:
      throw new Error(`the generator does not know ${JSON.stringify(schema)}`);
  }
}

function textsOf({ pattern, maxLength, examples = [] }: Document): fc.Arbitrary<string> {
  const limit = (text: string) => maxLength === undefined || Array.from(text).length <= maxLength;
  const regex = pattern === undefined ? null : new RegExp(pattern, 'u');
  const fits = (text: string) => limit(text) && (regex === null || regex.test(text));
  // A negated class is no good sample of real input: random text that matches is better.
  const random =
    regex === null || pattern.includes('[^')
      ? fc
          .oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }))
          .filter((text) => text.isWellFormed() && fits(text))
      : fc.stringMatching(regex).filter(fits);
  return examples.length === 0
    ? random
    : fc.oneof({ weight: 4, arbitrary: random }, { weight: 1, arbitrary: fc.constantFrom<string>(...examples) });
}

const merged = (schema: Document, branch: Document): Document => ({
  ...schema,
  properties: { ...schema.properties, ...branch.properties },
  required: [...(schema.required ?? []), ...(branch.required ?? [])],
});

function objectsOf(document: Document, { properties, required = [] }: Document): fc.Arbitrary<unknown> {
  const fields = Object.entries<Document>(properties).filter(([, field]) => field !== false);
  return fc.record(Object.fromEntries(fields.map(([name, field]) => [name, valuesOf(document, field)])), {
    requiredKeys: required,
  });
}

/** An object with an error in it, mostly. */
const spoiled = (objects: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof(
    wildJson,
    fc.tuple(objects, fc.nat(), wildJson, fc.constantFrom('drop', 'replace', 'add')).map(([object, at, value, how]) => {
      const entries = Object.entries(object as object);
      const name = entries[at % Math.max(1, entries.length)]?.[0] ?? 'x';
      const rest = entries.filter(([key]) => how === 'add' || key !== name);
      if (how === 'drop') return Object.fromEntries(rest);
      return Object.fromEntries([...rest, [how === 'add' ? `x${at % 7}` : name, value]]);
    }),
  );

/** Valid by the document, but its payment could not be booked: those amounts depend on the settings. */
const isBeyondRates = (body: unknown): boolean => {
  const { mtcAmount = null, totalPrice = null, ...rest } = body as Partial<AskedOrder>;
  return orderFault(settings(), { ...(rest as AskedOrder), mtcAmount, totalPrice }) !== null;
};

/** Requests to every operation, half of them valid. */
export function requests(document: Document, checker: Checker): fc.Arbitrary<Generated> {
  const all = Object.entries<Document>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Document>(methods).map(([method, one]) => requestsTo(document, checker, path, method, one)),
  );
  // The operations that serve the document itself are many bytes and one case.
  const weights = all.map(({ path, arbitrary }) => ({ weight: path.startsWith('/v1') ? 6 : 1, arbitrary }));
  return fc.oneof(...weights);
}

function requestsTo(document: Document, checker: Checker, path: string, method: string, one: Document) {
  const escaped = path.replaceAll('/', '~1');
  // A request that waits is not looked at here.
  const parameters: Document[] = (one.parameters ?? []).filter((parameter: Document) => parameter.name !== 'wait');
  const at = (name: string) =>
    `/paths/${escaped}/${method}/parameters/${one.parameters.findIndex((parameter: Document) => parameter.name === name)}/schema`;
  const schema = one.requestBody?.content['application/json'].schema;
  const inPlace = (place: string) => parameters.filter((parameter) => parameter.in === place);
  const requiredIn = (place: string): string[] =>
    inPlace(place)
      .filter((parameter) => parameter.required === true)
      .map(({ name }) => name as string);

  const given = (place: string) =>
    fc.oneof(
      fc.record(
        Object.fromEntries(inPlace(place).map((one) => [one.name, valuesOf(document, one.schema).map(String)])),
        {
          requiredKeys: requiredIn(place) as never[],
        },
      ),
      fc.record(Object.fromEntries(inPlace(place).map((one) => [one.name, wildText]))),
    );
  const extra = fc.oneof(
    { weight: 9, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.tuple(fc.stringMatching(/^[A-Za-z_]{1,12}$/), wildText) },
  );
  const bodies =
    schema === undefined
      ? fc.constant(undefined)
      : fc.oneof(valuesOf(document, schema), spoiled(valuesOf(document, schema)));
  const isParameter = (name: string, value: string) => {
    const { type } = parameters.find((parameter) => parameter.name === name)!.schema;
    const read =
      type === 'array'
        ? value.split(',')
        : type === 'integer' && /^[1-9]\d*$/.test(value)
          ? Number(value)
          : type === 'boolean' && /^(true|false)$/.test(value)
            ? value === 'true'
            : value;
    return checker.fault(at(name), read) === null;
  };

  const arbitrary = fc
    .record({
      path: given('path'),
      query: given('query'),
      extra,
      body: bodies,
      method: fc.oneof(
        { weight: 30, arbitrary: fc.constant(method.toUpperCase()) },
        { weight: 1, arbitrary: fc.constantFrom('PUT', 'PATCH', 'DELETE', 'OPTIONS') },
      ),
      credential: fc.oneof(
        { weight: 20, arbitrary: fc.constant('good' as const) },
        { weight: 1, arbitrary: fc.constantFrom('none' as const, 'bad' as const) },
      ),
      type: fc.oneof(
        { weight: 20, arbitrary: fc.constant('application/json') },
        { weight: 1, arbitrary: fc.constantFrom('text/plain', 'application/json; charset=utf-16', 'application/xml') },
      ),
    })
    .filter(
      (parts) =>
        parts.method === method.toUpperCase() || document.paths[path][parts.method.toLowerCase()] === undefined,
    )
    .filter((parts) =>
      Object.values<string>(parts.path as Record<string, string>).every((value) => !['', '.', '..'].includes(value)),
    )
    .map((parts): Generated => {
      const inPath = parts.path as Record<string, string>;
      const query = [...Object.entries<string>(parts.query), ...(parts.extra === null ? [] : [parts.extra])];
      const said = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
      const names = inPlace('query').map((parameter) => parameter.name);
      const isValid =
        Object.entries(inPath).every(([name, value]) => isParameter(name, value)) &&
        requiredIn('query').every((name) => query.some(([given]) => given === name)) &&
        query.every(
          ([name, value], index) =>
            names.includes(name) && query.findIndex(([other]) => other === name) === index && isParameter(name, value),
        ) &&
        (schema === undefined ||
          checker.fault(`/paths/${escaped}/${method}/requestBody/content/application~1json/schema`, parts.body) ===
            null);
      const isOther = parts.method !== method.toUpperCase();
      const expected = isOther
        ? 'other method'
        : schema !== undefined && parts.type !== 'application/json'
          ? 'other type'
          : !isValid
            ? 'invalid'
            : one.operationId === 'createDeposit' && isBeyondRates(parts.body)
              ? 'beyond the rates'
              : 'valid';
      return {
        method: parts.method,
        path,
        address:
          path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(inPath[name]!)) +
          (said === '' ? '' : `?${said}`),
        body: schema === undefined || isOther ? null : JSON.stringify(parts.body),
        contentType: parts.type,
        credential: parts.credential,
        expected,
        creates: expected === 'valid' && parts.credential === 'good' && one.operationId === 'createDeposit',
      };
    });
  return { path, arbitrary };
}
