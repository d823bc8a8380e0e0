import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../docs/variables.ts';
import { until } from '../support/until.ts';
import { docker, run, text } from './docker.ts';

/**
 * The proxy of the callbacks alone, over TLS with a certificate from a folder, before a listener that shows the
 * received requests. Throws when a byte of a request or a response was changed, or when anything but a callback got
 * through.
 */

/** Returns its request, and an acknowledgement that a meddling proxy would change: blanks, no line end. */
const LISTENER = `
require('http').createServer((request, response) => {
  if (!request.url.startsWith('/v1/callbacks/')) return response.writeHead(404).end();
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
    const hash = require('crypto').createHash('sha256').update(Buffer.concat(chunks)).digest('hex');
    const ack = Buffer.from(' ok\\u00e9\\t ', 'utf8');
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': ack.length, 'x-body': hash,
      'x-url': request.url, 'x-head': Buffer.from(request.rawHeaders.join('|')).toString('base64') });
    response.end(ack);
  });
}).listen(8081, '0.0.0.0');`;
const ACK = Buffer.from(' ok\u00e9\t ', 'utf8');

export async function tryProxy(images: { readonly proxy: string; readonly node: string }): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'deposit-certificates-'));
  const name = `deposit-proxy-${randomBytes(3).toString('hex')}`;
  const start = (...args: readonly string[]) => docker('run', '-d', '--rm', '--network', name, ...args);
  await docker('network', 'create', name);
  try {
    await certificate(folder);
    await start(
      '--name',
      `${name}-listener`,
      '--network-alias',
      'callback-listener',
      images.node,
      'node',
      '-e',
      LISTENER,
    );
    await start(
      '--name',
      `${name}-proxy`,
      '--read-only',
      '--cap-drop',
      'ALL',
      '-p',
      '127.0.0.1::8443',
      '-e',
      'CERTIFICATES=/etc/certificates/',
      '-v',
      `${root}/deploy/proxy:/etc/proxy:ro`,
      '-v',
      `${folder}:/etc/certificates:ro`,
      images.proxy,
      'haproxy',
      '-f',
      '/etc/proxy/common.cfg',
      '-f',
      '/etc/proxy/callbacks.cfg',
    );
    const port = Number((await docker('port', `${name}-proxy`, '8443')).split(':').at(-1));
    const ca = readFileSync(join(folder, 'proxy.pem'));
    const send = (path: string, body: Buffer, headers: Readonly<Record<string, string>> = {}) =>
      post({ port, ca, path, body, headers });
    await until('the proxy to find the listener', () =>
      send('/v1/callbacks/x', Buffer.alloc(0)).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    const bodies = [
      Buffer.from('{"signature":"A", "timestamp":1,\r\n"data":{"transactionAmount":5.10e1,"n":"\\u00e9 é"}}  \n'),
      randomBytes(15_000),
      Buffer.alloc(0),
    ];
    for (const body of bodies) {
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
        const path = '/v1/callbacks/mtpay/a%2Fb/To-ken_?x=%20';
        const answer = await send(path, body, { 'content-type': 'application/json', 'x-odd': 'a,  b', ...headers });
        const seen = {
          body: answer.headers['x-body'],
          path: answer.headers['x-url'],
          ack: answer.body.toString('hex'),
        };
        const sent = { body: createHash('sha256').update(body).digest('hex'), path, ack: ACK.toString('hex') };
        if (JSON.stringify(seen) !== JSON.stringify(sent))
          throw new Error(`changed on its way: ${JSON.stringify({ sent, seen })}`);
        if (answer.headers['content-length'] !== String(ACK.length))
          throw new Error('the length of the answer is another');
      }
    }
    for (const path of ['/', '/v1/deposits', '/readyz', '/v1/callbacks', '//v1/callbacks/x']) {
      const { status } = await send(path, Buffer.alloc(0));
      if (status !== 404) throw new Error(`${path} is answered ${status}`);
    }
    await docker('kill', `${name}-listener`);
    const alone = await until('the proxy to be alone', () =>
      send('/v1/callbacks/x', Buffer.alloc(0)).then((answer) => answer.status === 503 && answer),
    );
    if (alone.headers['retry-after'] !== '2' || !/problem\+json/.test(alone.headers['content-type'] ?? ''))
      throw new Error('503 is not in the words of the API');
    const log = await run('docker', ['logs', `${name}-proxy`]);
    if (/To-ken_|callbacks\/x/.test(log.stdout + log.stderr))
      throw new Error('the proxy logs paths, and with them tokens');
    return `${bodies.length * 2} bodies and answers unchanged through TLS, other paths 404, 503 while nobody is there, no path in its log`;
  } finally {
    await run('docker', ['rm', '-f', `${name}-listener`, `${name}-proxy`]);
    await run('docker', ['network', 'rm', name]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A folder as the page describes it: the chain, and the key beside it. */
export async function certificate(folder: string): Promise<void> {
  const files = ['-keyout', join(folder, 'proxy.pem.key'), '-out', join(folder, 'proxy.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  await text('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '1',
    ...subject,
    ...files,
  ]);
  await text('chmod', ['-R', 'a+rX', folder]);
}

interface Sent {
  readonly port: number;
  readonly ca: Buffer;
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** A POST over TLS; with `transfer-encoding: chunked` in pieces. */
export function post({ port, ca, path, body, headers }: Sent): Promise<{
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}> {
  const length = headers['transfer-encoding'] === undefined ? { 'content-length': String(body.length) } : {};
  return new Promise((resolve, reject) => {
    const call = request({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      ca,
      path,
      method: 'POST',
      headers: { ...length, ...headers },
      agent: false,
    });
    call.once('error', reject);
    call.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers as Record<string, string>,
          body: Buffer.concat(chunks),
        }),
      );
    });
    for (let at = 0; at < body.length; at += 4_000) call.write(body.subarray(at, at + 4_000));
    call.end();
  });
}
