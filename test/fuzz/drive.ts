import fc from 'fast-check';
import { inLanes } from '../../telemetry/lanes.ts';
import { createChecker, type Document } from '../support/pages/document.ts';
import { type Generated, requests } from './generate.ts';

export interface DriveOptions {
  readonly apiUrl: string;
  readonly document: Document;
  /** May create for every wallet. */
  readonly creatingKey: string;
  /** Creates for no wallet that is generated; used once enough deposits were made. */
  readonly limitedKey: string;
  /** Personal keys of two operators, for the routes of decisions. */
  readonly decidingKeys: readonly [string, string];
  /** Deposits that are credited, so that there is something to doubt. */
  readonly credited: readonly string[];
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

/** Sends generated requests and checks every response against the document. The same seed sends the same requests. */
export async function drive(options: DriveOptions): Promise<Driven> {
  const checker = createChecker(options.document);
  const arbitrary = requests(options.document, checker);
  // One example of each kind suffices.
  const findings = new Map<string, string>();
  const known: string[] = [];
  const cases = followCases(options);
  let sent = 0;
  let created = 0;

  async function one(request: Generated): Promise<void> {
    const follow = known.length > 0 && sent % 5 === 0 && request.path.includes('{externalOrderNumber}');
    sent += 1;
    // The link from a create: the created deposit is read.
    const linked =
      follow && request.expected === 'valid'
        ? { ...request, address: request.path.replace('{externalOrderNumber}', known[sent % known.length]!) }
        : sent % 4 !== 0
          ? cases.link(request, sent)
          : request;
    const { address } = linked;
    const mayCreate = created < options.creates;
    if (request.creates && mayCreate) created += 1;
    const key = cases.confirmer(linked) ?? keyFor(options, request, mayCreate, sent);
    const answer = await send(options, linked, key);
    // Node's own response to more than 8 kB of address and headers, before there is an operation
    // (docs/reference/api.md).
    if (answer.status === 431 && address.length > 7_000) return;
    const faults = [unexpected(request, options.document, answer), described(request, answer)].filter(
      (fault) => fault !== null,
    );
    for (const fault of faults) {
      const kind = `${fault}\n${request.method} ${request.path}`;
      const sent = `${address.slice(0, 300)}\n${linked.body?.slice(0, 500) ?? ''}`;
      if (findings.size < FINDINGS_LIMIT && !findings.has(kind)) {
        findings.set(kind, `${kind}\n${sent}\n→ ${answer.status} ${answer.text.slice(0, 500)}`);
      }
    }
    if (answer.status === 201 && request.path === '/v1/deposits')
      known.push((answer.body as { externalOrderNumber: string }).externalOrderNumber);
    cases.learn(linked, answer, key);
  }
  const described = (request: Generated, answer: Answer) =>
    request.expected === 'other method' ? null : checker.answerFault(request.path, request.method, answer);

  for (let batch = 0; sent < options.count; batch += 1) {
    const size = Math.min(BATCH, options.count - sent);
    const queue = fc.sample(arbitrary, { numRuns: size, seed: options.seed * 100_003 + batch });
    await inLanes(queue, options.concurrency, one);
  }
  return { sent, created, findings: [...findings.values()] };
}

function keyFor(options: DriveOptions, request: Generated, mayCreate: boolean, sent: number): string {
  if (request.path.startsWith('/v1/reviews')) return options.decidingKeys[(sent >> 1) % 2]!;
  return request.creates && !mayCreate ? options.limitedKey : options.creatingKey;
}

/** The links between decisions: a doubt opens a case, a case has a proposal, and that is confirmed or withdrawn. */
function followCases({ credited, decidingKeys }: DriveOptions) {
  const proposals = new Map<string, string | null>();
  const proposedWith = new Map<string, string>();
  return {
    /** The key of another operator than the proposer of the confirmed proposal; null: the proposer is unknown. */
    confirmer({ path, body }: Generated): string | null {
      if (!path.endsWith('/confirm') || body === null) return null;
      const [, proposer] = [...proposedWith].find(([proposal]) => body.includes(`"${proposal}"`)) ?? [];
      return proposer === undefined ? null : decidingKeys.find((key) => key !== proposer)!;
    },
    /** The same request about an existing case; unchanged where it is invalid or no case exists yet. */
    link(request: Generated, turn: number): Generated {
      if (request.expected !== 'valid' || !request.path.startsWith('/v1/reviews')) return request;
      const body = request.body === null ? {} : (JSON.parse(request.body) as Record<string, unknown>);
      if (request.path === '/v1/reviews') {
        const doubts = body['externalOrderNumber'] !== undefined && credited.length > 0;
        const about = { ...body, externalOrderNumber: credited[(turn >> 1) % Math.max(1, credited.length)] };
        return doubts ? { ...request, body: JSON.stringify(about) } : request;
      }
      // Most proposals are left to be confirmed.
      if (request.path.endsWith('/withdraw') && turn % 8 !== 1) return request;
      const answersOne = body['proposal'] !== undefined;
      // The document cannot tell which of them belong to a case: mostly they are left out, as most cases need none.
      if (turn % 3 !== 0)
        for (const field of ['beside', 'facts', 'toDeposit', 'signature', 'nonce']) delete body[field];
      const candidates = [...proposals].filter(([, proposal]) => !answersOne || proposal !== null);
      const [id, proposal] = candidates[(turn >> 1) % Math.max(1, candidates.length)] ?? [null, null];
      if (id === null) return request;
      return {
        ...request,
        address: request.path.replace('{id}', encodeURIComponent(id)),
        body: request.body === null ? null : JSON.stringify(answersOne ? { ...body, proposal } : body),
      };
    },
    learn({ path, address }: Generated, { status, body }: Answer, key: string): void {
      if (!path.startsWith('/v1/reviews')) return;
      const { id, proposal } = (body ?? {}) as { id?: string; proposal?: { id: string } | null };
      if (id !== undefined && (status === 200 || status === 201)) proposals.set(id, proposal?.id ?? null);
      if (path.endsWith('/propose') && status === 200 && proposal) proposedWith.set(proposal.id, key);
      // Another request was first.
      const about = [...proposals.keys()].find((one) => address.includes(encodeURIComponent(one)));
      if (about !== undefined && status === 409 && /confirm|withdraw/.test(path)) proposals.set(about, null);
    },
  };
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

/** The missing effect that the document led to expect; null when there is none. */
function unexpected(request: Generated, document: Document, { status, headers, body }: Answer): string | null {
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
  if (request.expected === 'beyond the rates')
    // 409: the number exists already, with an amount that could be booked.
    return status === 400 || status === 409 ? null : 'an order that could not be booked was not refused';
  // Which addresses are public no pattern can say.
  const { errors = [] } = (body ?? {}) as { errors?: readonly { field: string }[] };
  if (status === 400 && errors.length > 0 && errors.every(({ field }) => field === 'url')) return null;
  return status === 400 || status === 413 || status === 415 ? 'what the document allows was refused' : null;
}
