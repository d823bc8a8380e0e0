import { describe, expect, test } from 'vitest';
import { EXAMPLE_REQUEST, openApiDocument } from '../../contract/openapi.ts';
import { EVENT_TYPES } from '../../contract/events.ts';
import { OPERATIONS } from '../../contract/operations.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { createChecker, type Document } from '../support/pages/document.ts';
import { type Answer, startEngine } from '../support/engine.ts';
import { arrives, opened, operator, placed } from './decisions.ts';
import { fault as sandboxFault } from './evidence.ts';
import { withApi, withLimits } from './parts.ts';

const engine = await startEngine({ env: { TEMPORAL_UI_URL: 'http://127.0.0.1:8233' } });
const document: Document = (await engine.call('GET', '/openapi.json', undefined, { key: null })).body;
const checker = createChecker(document);
const listed = Object.entries<Document>(document.paths).flatMap(([path, methods]) =>
  Object.entries<Document>(methods).map(([method, one]) => ({ path, method: method.toUpperCase(), one })),
);

describe('the document', () => {
  test('is OpenAPI 3.1 and has every operation that is declared, and no other', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const names = (all: readonly { method: string; path: string }[]) =>
      all.map((one) => `${one.method} ${one.path}`).toSorted();
    expect(names(listed)).toEqual(names(OPERATIONS));
    // Tags are in the order of the page, which is not checked here.
    const { tags, ...made } = JSON.parse(JSON.stringify(openApiDocument(OPERATIONS)));
    expect(document).toMatchObject(made);
    expect(document.tags).toEqual(expect.arrayContaining(tags));
  });

  test('and the listener agree on what there is: every operation answers, everything else is 404 or 405', async () => {
    for (const path of Object.keys(document.paths)) {
      const address = path.replaceAll(/\{\w+\}/g, 'nobody');
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const { status } = await engine.call(method, address, undefined, { key: null });
        const isListed = listed.some((one) => one.path === path && one.method === method);
        expect({ method, path, isThere: status !== 405 && status !== 404 }).toEqual({
          method,
          path,
          isThere: isListed,
        });
      }
    }
  });

  test('says for every operation what each answer looks like, and asks for a key wherever one is needed', () => {
    for (const { path, method, one } of listed) {
      const needed = one.security.map((way: Document) => way.apiKey[0]);
      expect(needed, path).toEqual(OPERATIONS.find((own) => own.path === path && own.method === method)!.scopes);
      const expected = needed.length === 0 ? ['400'] : ['400', '401', '403', '429', '503'];
      const described = Object.keys(one.responses);
      expect(
        expected.filter((status) => !described.includes(status)),
        `${method} ${path}`,
      ).toEqual([]);
      if (method === 'POST') expect(described).toEqual(expect.arrayContaining(['413', '415']));
      if (path.includes('{')) expect(described).toContain('404');
      for (const unfinished of ['202', '429', '503'].filter(
        (status) => needed.length > 0 && described.includes(status),
      )) {
        const { $ref = '', headers } = one.responses[unfinished];
        const said = headers ?? document.components.responses[$ref.split('/').at(-1)].headers;
        expect(said, `${method} ${path} ${unfinished}`).toHaveProperty('Retry-After');
      }
    }
  });

  test('describes every field and every state, and shows a request and an answer of every operation', () => {
    const bare: string[] = [];
    const walk = (node: Document, path: string) => {
      if (typeof node !== 'object' || node === null) return;
      // Refusals narrow the fields of `Problem`, which are described there.
      const isNarrowed = path.includes('/allOf/');
      for (const [name, field] of Object.entries<Document>(isNarrowed ? {} : (node.properties ?? {}))) {
        // Another field of an alternative: not allowed there.
        if (field === false) continue;
        const named = field.$ref ?? field.anyOf?.find((one: Document) => one.$ref !== undefined)?.$ref;
        const said = field.description ?? document.components.schemas[String(named).split('/').at(-1)!]?.description;
        if (said === undefined) bare.push(`${path}.${name}`);
        // The schema of an enumeration, or its field, says what each value means.
        for (const value of isNarrowed || name === 'code' ? [] : (field.enum ?? []))
          if (!said.includes(`\`${value}\``)) bare.push(`${path}.${name}: ${value}`);
      }
      for (const [key, value] of Object.entries(node))
        if (!['example', 'examples'].includes(key)) walk(value, `${path}/${key}`);
    };
    walk(document, '');
    for (const [name, schema] of Object.entries<Document>(document.components.schemas)) {
      if (schema.description === undefined && schema.properties === undefined) bare.push(name);
      for (const value of schema.enum ?? [])
        if (!schema.description.includes(`\`${value}\`: `)) bare.push(`${name}: ${value}`);
    }
    for (const { path, method, one } of listed) {
      for (const parameter of one.parameters ?? [])
        if ((parameter.description ?? parameter.schema.$ref) === undefined)
          bare.push(`${method} ${path} ${parameter.name}`);
      if (one.requestBody !== undefined && one.requestBody.content['application/json'].example === undefined)
        bare.push(`${method} ${path} body`);
      if (one['x-codeSamples']?.[0]?.source === undefined) bare.push(`${method} ${path} curl`);
      for (const [status, { content = {} }] of Object.entries<Document>(one.responses).filter(([code]) => code < '300'))
        for (const { example } of Object.values<Document>(content))
          if (example === undefined) bare.push(`${method} ${path} ${status}`);
    }
    expect(bare).toEqual([]);
  });

  test('requires the amount or the price by the mode, in two schemas that generators tell apart', () => {
    const { oneOf, discriminator } = document.components.schemas.CreateDeposit;
    expect(oneOf).toHaveLength(2);
    expect(discriminator.propertyName).toBe('buyCoinMode');
    for (const [mode, field] of [
      ['MtcAmount', 'mtcAmount'],
      ['PaymentPrice', 'totalPrice'],
    ] as const) {
      const { properties, required } = document.components.schemas[discriminator.mapping[mode].split('/').at(-1)];
      expect(required).toContain(field);
      expect(properties.buyCoinMode.const).toBe(mode);
      expect(Object.keys(properties).filter((name) => ['mtcAmount', 'totalPrice'].includes(name))).toEqual([field]);
    }
  });

  test('has a webhook for each type of event, with its headers and body', () => {
    expect(Object.keys(document.webhooks)).toEqual([...EVENT_TYPES]);
    for (const [type, { post }] of Object.entries<Document>(document.webhooks)) {
      expect(post.parameters.map((one: Document) => [one.in, one.name])).toEqual(
        ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => ['header', name]),
      );
      const { schema, example } = post.requestBody.content['application/json'];
      const pointer = `/webhooks/${type}/post/requestBody/content/application~1json/schema`;
      expect(schema.$ref).toBeDefined();
      expect(checker.fault(pointer, example)).toBeNull();
      expect(checker.fault(pointer, { ...example, type: 'deposit.nothing' })).not.toBeNull();
      expect(Object.keys(post.responses)).toContain('2XX');
    }
  });

  test('has no reference to nothing, and every example in it is valid', async () => {
    let examples = 0;
    const walk = (node: Document, pointer: string) => {
      if (typeof node !== 'object' || node === null) return;
      const at = (key: string) => `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      if (typeof node.$ref === 'string') {
        const found = node.$ref
          .slice(2)
          .split('/')
          .reduce((on: Document, step: string) => on?.[step], document);
        expect(found, node.$ref).toBeDefined();
      }
      if (node.schema !== undefined && node.example !== undefined) {
        examples += 1;
        expect(checker.fault(at('schema'), node.example), pointer).toBeNull();
      }
      if (Array.isArray(node.examples)) {
        for (const example of node.examples) {
          examples += 1;
          expect(checker.fault(pointer, example), pointer).toBeNull();
        }
      }
      for (const [key, value] of Object.entries(node)) if (!['example', 'examples'].includes(key)) walk(value, at(key));
    };
    walk(document, '');
    // It takes seconds, in which no end of a connection is noticed: a first call may get one that has ended.
    await engine.call('GET', '/healthz', undefined, { key: null }).catch(() => undefined);
    expect(examples).toBeGreaterThan(20);
  });
});

describe('what the engine answers is what the document describes', () => {
  const expectDescribed = (path: string, method: string, answer: Answer, status: number) => {
    expect(answer.status, answer.text).toBe(status);
    expect(checker.answerFault(path, method, answer)).toBeNull();
  };

  test('from the create to the credit, in every answer that is none of the refusals', async () => {
    const body = engine.body();
    const first = await engine.call('POST', '/v1/deposits', body);
    expectDescribed('/v1/deposits', 'POST', first, 201);
    expectDescribed('/v1/deposits', 'POST', await engine.call('POST', '/v1/deposits', body), 200);
    const number = first.body.externalOrderNumber;
    await engine.pay(number);
    await engine.untilState(number, 'CREDITED');
    expectDescribed(
      '/v1/deposits/{externalOrderNumber}',
      'GET',
      await engine.call('GET', `/v1/deposits/${number}`),
      200,
    );
    expectDescribed('/v1/deposits', 'GET', await engine.call('GET', '/v1/deposits?limit=1'), 200);
    expectDescribed('/v1/wallets/{wallet}', 'GET', await engine.call('GET', '/v1/wallets/wallet-42'), 200);
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/style.css']) {
      expectDescribed(path, 'GET', await engine.call('GET', path, undefined, { key: null }), 200);
    }
  });

  test('a deposit that is not placed yet', async () => {
    await engine.stopWorker();
    const answer = await engine.create();
    await engine.startWorker();
    expectDescribed('/v1/deposits', 'POST', answer, 202);
  });

  test('cases, from the doubt of a credit and a callback that cannot be read to their decisions', async () => {
    const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
    const at = '/v1/reviews/{id}';
    const order = await placed(engine);
    await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    const doubt = await alice.doubt({ externalOrderNumber: order.externalOrderNumber, reason: 'recalled' });
    expectDescribed('/v1/reviews', 'POST', doubt, 201);
    const taken = await alice.propose(doubt.body.id, { decision: 'reverse', reason: 'recalled', keep: true });
    expectDescribed(`${at}/propose`, 'POST', taken, 200);
    expectDescribed(`${at}/confirm`, 'POST', await bob.confirm(doubt.body.id, taken.body.proposal.id), 200);
    const reversed = await engine.call('GET', `/v1/deposits/${order.externalOrderNumber}`);
    expect(reversed.body.reversal).toMatchObject({ kept: true });
    expectDescribed('/v1/deposits/{externalOrderNumber}', 'GET', reversed, 200);

    await arrives(engine, order, { transactionAmount: 'true' });
    const { id } = await opened(alice, order, 'UNREADABLE', 'unreadable');
    const facts = { transactionCode: 'ATDESCRIBED1', amount: '5000', currencyCode: 'CNY', paymentPrice: '36000' };
    const credit = { decision: 'credit', reason: 'read in the statement' };
    const refused = await alice.propose(id, credit);
    expect(refused.body).toMatchObject({ code: 'facts_required' });
    expectDescribed(`${at}/propose`, 'POST', refused, 409);
    const stated = await alice.propose(id, { ...credit, facts });
    expectDescribed(`${at}/propose`, 'POST', stated, 200);
    const differs = await bob.confirm(id, stated.body.proposal.id, { ...facts, amount: '500' });
    expect(differs.body).toMatchObject({ code: 'facts_differ' });
    expectDescribed(`${at}/confirm`, 'POST', differs, 409);
    const again = await alice.propose(id, { ...credit, facts: { ...facts, statementLine: 'page 7' } });
    expectDescribed(`${at}/confirm`, 'POST', await bob.confirm(id, again.body.proposal.id, facts), 200);
    const read = await engine.call('GET', `/v1/reviews/${id}`, undefined, {
      key: await createApiKey(engine.db.owner, { name: 'auditing', scopes: ['audit:read'] }),
    });
    expect(read.body.steps.at(-1)).toMatchObject({ facts: { transactionCode: 'ATDESCRIBED1' }, outcome: 'carried' });
    expectDescribed(at, 'GET', read, 200);
    const list = await alice.listed('?state=closed');
    expect(list.body.items.length).toBeGreaterThan(0);
    expectDescribed('/v1/reviews', 'GET', list, 200);
    expectDescribed('/v1/wallets/{wallet}', 'GET', await engine.call('GET', `/v1/wallets/${order.wallet}`), 200);
  });

  test('every refusal', async () => {
    const post = (body: unknown, options = {}) => engine.call('POST', '/v1/deposits', body, options);
    const expectRefused = (answer: Answer, status: number) => expectDescribed('/v1/deposits', 'POST', answer, status);
    // The document's example is the response, word for word.
    const expectExample = (answer: Answer, kind: string) => {
      expect(answer.body.requestId).toBe(answer.headers.get('request-id'));
      expect({ ...answer.body, requestId: EXAMPLE_REQUEST }).toEqual(
        document.components.responses[kind].content['application/problem+json'].example,
      );
    };
    expectRefused(await post({}), 400);
    const dry = await engine.call('POST', '/v1/deposits?dry=1', engine.body());
    expectRefused(dry, 400);
    expectExample(dry, 'invalid_request');
    const stranger = await post(engine.body(), { key: null });
    expectRefused(stranger, 401);
    expectExample(stranger, 'unauthorized');
    const reading = await createApiKey(engine.db.owner, { name: 'reading', scopes: ['deposits:read'] });
    const reader = await post(engine.body(), { key: reading });
    expectRefused(reader, 403);
    expectExample(reader, 'forbidden');
    const externalOrderNumber = 'order-1001';
    const missing = await engine.call('GET', `/v1/deposits/${externalOrderNumber}`);
    expectDescribed('/v1/deposits/{externalOrderNumber}', 'GET', missing, 404);
    expectExample(missing, 'not_found');
    await engine.create({ externalOrderNumber });
    const other = await post(engine.body({ externalOrderNumber, mtcAmount: '1' }));
    expectRefused(other, 409);
    expectExample(other, 'other_parameters');
    const large = await post(undefined, { raw: ' '.repeat(20_000) });
    expectRefused(large, 413);
    expectExample(large, 'payload_too_large');
    const text = await post(undefined, { raw: '{}', headers: { 'content-type': 'text/plain' } });
    expectRefused(text, 415);
    expectExample(text, 'unsupported_media_type');
    const refused = engine.body();
    await sandboxFault(engine, String(refused['externalOrderNumber']), 'status', { statusCode: 'NO_ADVERTISEMENT' });
    const unsold = await post(refused);
    expectRefused(unsold, 422);
    expect(unsold.body.type).toBe('/docs#error-NO_ADVERTISEMENT');
    await withLimits(engine, { API_RATE_BURST: '1', API_RATE_LIMIT: '1' }, async () => {
      await engine.call('GET', '/v1/deposits');
      const soon = await engine.call('GET', '/v1/deposits');
      expectDescribed('/v1/deposits', 'GET', soon, 429);
      expectExample(soon, 'rate_limited');
    });
    const elsewhere = new URL(engine.env['DATABASE_URL_API']!);
    elsewhere.port = '1';
    await withApi(engine, { env: { DATABASE_URL_API: elsewhere.href } }, async () => {
      const away = await post(engine.body());
      expectRefused(away, 503);
      expectExample(away, 'unavailable');
      expectDescribed('/readyz', 'GET', await engine.call('GET', '/readyz', undefined, { key: null }), 503);
    });
  });

  test('and the checker sees an answer that is not described', async () => {
    const answer = await engine.call('GET', '/v1/wallets/nobody');
    const fault = (change: object) => checker.answerFault('/v1/wallets/{wallet}', 'GET', { ...answer, ...change });
    expect(fault({})).toBeNull();
    expect(fault({ status: 418 })).toContain('does not describe 418');
    expect(fault({ body: { ...answer.body, balance: 5 } })).toContain('balance');
    expect(fault({ body: { ...answer.body, more: 1 } })).toContain('additional');
    const plain = new Headers(answer.headers);
    plain.set('content-type', 'text/plain');
    expect(fault({ headers: plain })).toContain('text/plain');
    expect(fault({ headers: new Headers({ 'content-type': 'application/json' }) })).toContain('Request-Id');
  });
});
