import express from 'express';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { answerErrors } from '../../api/http/errors.ts';
import { createApp, listen } from '../../api/http/http.ts';
import { bind, serve } from '../../api/http/operation-route.ts';
import { createAccess } from '../../api/http/authenticate.ts';
import { operation } from '../../contract/operation.ts';
import { openApiDocument } from '../../contract/openapi.ts';
import { issueKey } from '../../database/queries/api-keys.ts';
import { createLog } from '../../telemetry/log.ts';
import { startEngine } from '../support/engine.ts';
import { callbackAddress } from '../support/messages/callbacks.ts';
import { createChecker, type Document } from '../support/pages/document.ts';
import { expectRefusal } from './evidence.ts';
import { ask, withApi, withLimits } from './parts.ts';

const engine = await startEngine({ worker: false });
const post = (raw: string, headers = {}) => engine.call('POST', '/v1/deposits', undefined, { raw, headers });

describe('a request', () => {
  test.each(['a', 'order-7.try_2', 'x'.repeat(64)])('has the id that its caller gave it: %s', async (id) => {
    const headers = { 'request-id': id };
    const found = await engine.call('GET', '/v1/deposits', undefined, { headers });
    expect(found.headers.get('request-id')).toBe(id);
    const refused = await engine.call('GET', '/v1/deposits/nobody', undefined, { headers });
    expect([refused.headers.get('request-id'), refused.body.requestId]).toEqual([id, id]);
  });

  test.each(['', 'two words', 'x'.repeat(65), 'a,b', '<b>', 'a/b'])('gets one of ours instead of %j', async (id) => {
    const answers = [
      await engine.call('GET', '/v1/deposits', undefined, { headers: { 'request-id': id } }),
      await engine.call('GET', '/nothing', undefined, { key: null, headers: { 'request-id': id } }),
    ];
    const made = answers.map(({ headers }) => headers.get('request-id')!);
    for (const one of made) expect(one).toMatch(/^[0-9a-f-]{36}$/);
    expect(new Set(made).size).toBe(2);
  });

  test('has its id in the answer of every listener but that of callbacks, whose refusals are the same to the byte', async () => {
    const headers = { 'request-id': 'mine' };
    for (const path of ['/healthz', '/docs/'])
      expect([path, (await ask(`${engine.api.apiUrl}${path}`, { headers })).headers.get('request-id')]).toEqual([
        path,
        'mine',
      ]);
    const answer = await ask(callbackAddress(engine, 'nobody'), { method: 'POST', headers });
    expect([answer.status >= 400, answer.headers.get('request-id'), answer.text.includes('requestId')]).toEqual([
      true,
      null,
      false,
    ]);
  });

  test('has its id in every line that it logs, and lines of no request have none', async () => {
    const lines: string[] = [];
    const log = createLog('api', 'debug', { write: (line) => void lines.push(line) });
    await withApi(engine, { log }, async () => {
      log.info('outside');
      // A defect: the table is not there.
      await engine.db.owner.query('alter table engine.api_key rename to gone');
      const [one, other] = await Promise.all([
        post(JSON.stringify(engine.body()), { 'request-id': 'first' }),
        engine.call('GET', '/v1/deposits', undefined, { headers: { 'request-id': 'second' } }),
      ]);
      await engine.db.owner.query('alter table engine.gone rename to api_key');
      expect([one.status, other.status]).toEqual([500, 500]);
    });
    const said = lines.map((line) => JSON.parse(line) as { msg: string; requestId?: string });
    const failed = said.filter(({ msg }) => msg === 'request failed');
    expect(new Set(failed.map(({ requestId }) => requestId))).toEqual(new Set(['first', 'second']));
    expect(failed).toHaveLength(2);
    expect(said.find(({ msg }) => msg === 'outside')).not.toHaveProperty('requestId');
  });
});

describe('a body that cannot be read', () => {
  test.each([
    ['', /^the body is empty/],
    [' ', /the text is empty/],
    ['{"wallet":"s3cret",\n}', /a comma must not come before } at line 1, column 19$/],
    ["{'wallet':'s3cret'}", /a key in double quotes was expected at line 1, column 2$/],
    ['{"wallet":"s3cret"', /the text ends too early at line 1, column 19$/],
    ['{"s3cret":1,\n"s3cret":2}', /duplicate key at line 2, column 9$/],
    ['{"wallet":"s3cret"} s3cret', /there is more after the end at line 1, column 21$/],
  ])('%j says where, and nothing of it', async (raw, words) => {
    const answer = await post(raw);
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.detail).toMatch(words);
    expect(answer.text).not.toContain('s3cret');
  });
});

test('a path without /v1 is told which one was meant, and nothing of the address', async () => {
  const told = async (path: string) => {
    const answer = await engine.call('GET', path, undefined, { key: null });
    expectRefusal(answer, 404, 'not_found');
    return answer.body.detail;
  };
  expect(await told('/deposits')).toBe('no such path; the path begins with /v1: /v1/deposits');
  expect(await told('/deposits/s3cret')).toBe(
    'no such path; the path begins with /v1: /v1/deposits/{externalOrderNumber}',
  );
  for (const path of ['/deposit', '/healthz/', '/v2/deposits', '/deposits/'])
    expect(await told(path)).toBe('no such path');
});

describe('a key', () => {
  const rates = (headers: Headers) => ['limit', 'remaining', 'reset'].map((name) => headers.get(`ratelimit-${name}`));

  test('is told in every answer how much is left, also when it is refused, and a stranger nothing', async () => {
    const { key } = await issueKey(engine.db.owner, { name: 'counted', scopes: ['deposits:read'] });
    const get = (path: string) => engine.call('GET', path, undefined, { key });
    await withLimits(engine, { API_RATE_BURST: '4', API_RATE_LIMIT: '2' }, async () => {
      expect(rates((await get('/v1/deposits')).headers)).toEqual(['4', '3', '1']);
      expect(rates((await get('/v1/deposits/nobody')).headers)).toEqual(['4', '2', '1']);
      const forbidden = await engine.call('POST', '/v1/deposits', engine.body(), { key });
      expect([forbidden.status, ...rates(forbidden.headers)]).toEqual([403, '4', '1', '2']);
      await get('/v1/deposits?limit=x');
      const soon = await get('/v1/deposits');
      expect([soon.status, ...rates(soon.headers)]).toEqual([429, '4', '0', '2']);
      const stranger = await engine.call('GET', '/v1/deposits', undefined, { key: null });
      expect([stranger.status, ...rates(stranger.headers)]).toEqual([401, null, null, null]);
    });
  });
});

test('an operation may change and delete: it is served, documented and refused like all others', async () => {
  const thing = z.strictObject({ name: z.string().meta({ examples: ['x'] }) });
  const declared = { path: '/v1/things/{name}', tag: 'Things', scopes: [], params: thing } as const;
  const change = operation({
    ...declared,
    id: 'changeThing',
    method: 'PATCH',
    summary: 'Change it',
    body: thing.meta({ id: 'Thing', examples: [{ name: 'x' }] }),
    answers: { 200: { description: 'Changed.', schema: thing, example: { name: 'x' } } },
  });
  const remove = operation({
    ...declared,
    id: 'removeThing',
    method: 'DELETE',
    summary: 'Remove it',
    answers: { 204: { description: 'Gone.', schema: null } },
  });
  const document: Document = JSON.parse(JSON.stringify(openApiDocument([change, remove])));
  const checker = createChecker(document);
  const app: express.Express = createApp();
  const limits = { key: { perSecond: 1, burst: 1 }, failure: { perSecond: 1, burst: 1 } };
  serve(app, { pool: engine.db.owner, access: createAccess(limits) }, [
    bind(change, ({ body }, respond) => respond(200, body)),
    bind(remove, (_call, respond) => respond(204, null)),
  ]);
  app.use(answerErrors(createLog('test', 'silent')));
  const listener = await listen(app, { host: '127.0.0.1', port: 0 });
  try {
    const send = (method: string, body?: string) =>
      ask(`${listener.url}/v1/things/a`, {
        method,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      });
    const [changed, removed] = [await send('PATCH', '{"name":"b"}'), await send('DELETE')];
    expect([changed.status, changed.body, removed.status, removed.text]).toEqual([200, { name: 'b' }, 204, '']);
    expect(checker.answerFault(declared.path, 'PATCH', changed)).toBeNull();
    expect(checker.answerFault(declared.path, 'DELETE', removed)).toBeNull();
    expect((await send('PATCH', '{"name":1}')).status).toBe(400);
    const other = await send('POST', '{}');
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'DELETE, PATCH']);
    const [{ source }] = document.paths[declared.path].delete['x-codeSamples'];
    expect(source).toContain('-X DELETE');
  } finally {
    await listener.close();
  }
});
