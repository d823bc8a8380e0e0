import fc from 'fast-check';
import { createChecker, type Document } from '../support/document.ts';
import { type Generated, requests } from './generate.ts';

export interface DriveOptions {
  readonly apiUrl: string;
  readonly document: Document;
  /** May create for every wallet. */
  readonly creatingKey: string;
  /** Creates for no wallet that is generated; used once enough deposits were made. */
  readonly limitedKey: string;
  readonly seed: number;
  readonly count: number;
  readonly creates: number;
  readonly concurrency: number;
}

export interface Driven {
  readonly sent: number;
  readonly created: number;
  readonly findings: readonly string[];
}

const BATCH = 500;
const FINDINGS_LIMIT = 50;

/** Sends generated requests and holds every answer against the document. The same seed sends the same requests. */
export async function drive(options: DriveOptions): Promise<Driven> {
  const checker = createChecker(options.document);
  const arbitrary = requests(options.document, checker);
  // One example of each kind is enough to go by.
  const findings = new Map<string, string>();
  const known: string[] = [];
  let sent = 0;
  let created = 0;

  async function one(request: Generated): Promise<void> {
    const follow = known.length > 0 && sent % 5 === 0 && request.path.includes('{externalOrderNumber}');
    sent += 1;
    // The link from a create: what was made is read.
    const address =
      follow && request.expected === 'valid' ? `/v1/deposits/${known[sent % known.length]}` : request.address;
    const mayCreate = created < options.creates;
    if (request.creates && mayCreate) created += 1;
    const answer = await send(
      options,
      { ...request, address },
      request.creates && !mayCreate ? options.limitedKey : options.creatingKey,
    );
    // Node's own answer to more than 8 kB of address and headers, before there is an operation (docs/api.md).
    if (answer.status === 431 && address.length > 7_000) return;
    const faults = [unexpected(request, options.document, answer), described(request, answer)].filter(
      (fault) => fault !== null,
    );
    for (const fault of faults) {
      const kind = `${fault}\n${request.method} ${request.path}`;
      const sent = `${address.slice(0, 300)}\n${request.body?.slice(0, 500) ?? ''}`;
      if (findings.size < FINDINGS_LIMIT && !findings.has(kind)) {
        findings.set(kind, `${kind}\n${sent}\n→ ${answer.status} ${answer.text.slice(0, 500)}`);
      }
    }
    if (answer.status === 201) known.push((answer.body as { externalOrderNumber: string }).externalOrderNumber);
  }
  const described = (request: Generated, answer: Answer) =>
    request.expected === 'other method' ? null : checker.answerFault(request.path, request.method, answer);

  for (let batch = 0; sent < options.count; batch += 1) {
    const size = Math.min(BATCH, options.count - sent);
    const queue = fc.sample(arbitrary, { numRuns: size, seed: options.seed * 100_003 + batch });
    const work = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) await one(next);
    };
    await Promise.all(Array.from({ length: options.concurrency }, work));
  }
  return { sent, created, findings: [...findings.values()] };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: unknown;
}

async function send({ apiUrl }: DriveOptions, request: Generated, key: string): Promise<Answer> {
  const credential = { good: `Bearer ${key}`, bad: `Bearer ${'x'.repeat(43)}`, none: null }[request.credential];
  const response = await fetch(`${apiUrl}${request.address}`, {
    method: request.method,
    redirect: 'manual',
    headers: {
      ...(credential === null ? {} : { authorization: credential }),
      ...(request.body === null ? {} : { 'content-type': request.contentType }),
    },
    ...(request.body === null ? {} : { body: request.body }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : null };
}

/** What the document led to expect and did not come; null when it did. */
function unexpected(request: Generated, document: Document, { status, headers }: Answer): string | null {
  if (status >= 500) return 'a server error';
  if (headers.get('cache-control') !== 'no-store') return 'an answer that may be cached';
  if (request.expected === 'other method') {
    return status === 405 && headers.has('allow') ? null : 'a method that is not listed was not refused';
  }
  const isSecured = document.paths[request.path][request.method.toLowerCase()].security.length > 0;
  if (isSecured && request.credential !== 'good') return status === 401 ? null : 'no good key, and no 401';
  if (request.expected === 'other type') return status === 415 ? null : 'another media type was not refused';
  if (request.expected === 'invalid')
    return status === 400 || status === 413 ? null : 'what the document forbids was not refused';
  return status === 400 || status === 413 || status === 415 ? 'what the document allows was refused' : null;
}
