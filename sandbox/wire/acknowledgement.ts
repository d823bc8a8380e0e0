/**
 * One accepted form of an acknowledgment. The documents require an agreed success body, "String Type" or "JSON Type",
 * and print neither, so the accepted bodies are a setting. A form is `text:BODY` (sent as text/plain) or `json:BODY`
 * (sent as application/json). A list is separated by `|`, so no body can contain that character.
 */
export interface AckForm {
  readonly contentType: 'text/plain' | 'application/json';
  readonly body: string;
}

/** Parses one form; null if it is invalid. */
export function parseAckForm(text: string): AckForm | null {
  const match = /^(text|json):([^|]+)$/s.exec(text);
  if (match === null) return null;
  return { contentType: match[1] === 'text' ? 'text/plain' : 'application/json', body: match[2]! };
}

/** The response of a merchant's endpoint. `body` is the bytes read as Latin-1, so a comparison compares bytes. */
export interface CallbackAnswer {
  readonly httpStatus: number;
  readonly contentType: string;
  readonly contentEncoding: string | null;
  readonly body: string;
}

/** Returns why a response does not acknowledge, for the attempt's record; null if it does. */
export function refusalOf(answer: CallbackAnswer, accepted: readonly AckForm[]): string | null {
  if (answer.httpStatus !== 200) return `HTTP status ${answer.httpStatus} instead of 200`;
  if (answer.contentEncoding !== null) return `content-encoding ${answer.contentEncoding} instead of none`;
  const [mediaType, ...parameters] = answer.contentType.toLowerCase().split(';');
  const foreign = parameters.some((parameter) => !/^\s*charset="?utf-8"?\s*$/.test(parameter));
  if (foreign) return `content type ${answer.contentType} with a parameter other than charset=utf-8`;
  const known = accepted.filter((form) => Buffer.from(form.body, 'utf8').toString('latin1') === answer.body);
  if (known.length === 0) return 'the body is none of the accepted success bodies';
  const fits = known.some((form) => form.contentType === mediaType?.trim());
  return fits ? null : `content type ${answer.contentType} does not belong to this success body`;
}
