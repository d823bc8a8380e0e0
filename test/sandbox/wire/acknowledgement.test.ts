import { expect, test } from 'vitest';
import { type CallbackAnswer, parseAckForm, refusalOf } from '../../../sandbox/wire/acknowledgement.ts';

const FORMS = ['text:SUCCESS', 'json:{"success":true}'].map((form) => parseAckForm(form)!);
const answer = (over: Partial<CallbackAnswer> = {}): CallbackAnswer => ({
  httpStatus: 200,
  contentType: 'text/plain',
  contentEncoding: null,
  body: 'SUCCESS',
  ...over,
});

test.each([
  answer(),
  answer({ contentType: 'text/plain; charset=utf-8' }),
  answer({ contentType: 'Text/Plain;charset="UTF-8"' }),
  answer({ contentType: 'application/json', body: '{"success":true}' }),
  answer({ contentType: 'application/json; charset=utf-8', body: '{"success":true}' }),
])('%o acknowledges', (accepted) => {
  expect(refusalOf(accepted, FORMS)).toBeNull();
});

test.each([
  answer({ httpStatus: 201 }),
  answer({ httpStatus: 302 }),
  answer({ httpStatus: 500 }),
  answer({ contentEncoding: 'gzip' }),
  answer({ contentType: 'application/json' }),
  answer({ contentType: 'text/html' }),
  answer({ contentType: '' }),
  answer({ contentType: 'text/plain; charset=utf-16le' }),
  answer({ contentType: 'text/plain', body: '{"success":true}' }),
  answer({ body: 'success' }),
  answer({ body: 'SUCCESS\n' }),
  answer({ body: '"SUCCESS"' }),
  answer({ body: '\u00ef\u00bb\u00bfSUCCESS' }),
  answer({ body: '' }),
  answer({ contentType: 'application/json', body: '{"success": true}' }),
  answer({ contentType: 'application/json', body: '{"success":"true"}' }),
])('the near miss %o does not acknowledge', (refused) => {
  expect(refusalOf(refused, FORMS)).toEqual(expect.any(String));
});

test.each(['SUCCESS', 'text:', 'xml:<ok/>', 'text:a|b', ''])('%j is not an acknowledgement form', (form) => {
  expect(parseAckForm(form)).toBeNull();
});
