import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';

/** What a TLS listener needs, as PEM, and the file its clients trust it by. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
  /** Certificate of the authority that signed it; for a client's list of trusted ones. */
  readonly caFile: string;
}

/** DER, as far as a certificate needs it: tag, length, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const bits = (unused: number, content: Buffer): Buffer => der(0x03, Buffer.from([unused]), content);
const octets = (content: Buffer): Buffer => der(0x04, content);
const time = (text: string): Buffer => der(0x18, Buffer.from(text));
const TRUE = der(0x01, Buffer.from([0xff]));

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const name = (commonName: string): Buffer =>
  sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))));

/** RFC 5280's value for "no well-defined end": the sandbox must still answer when nobody remembers setting it up. */
const VALIDITY = sequence(time('20200101000000Z'), time('99991231235959Z'));

const keyId = (key: Buffer): Buffer => createHash('sha256').update(key).digest().subarray(0, 20);
const extension = (id: string, critical: boolean, content: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octets(content));

const AUTHORITY_USAGE = [
  extension('551d13', true, sequence(TRUE)),
  // keyCertSign
  extension('551d0f', true, bits(2, Buffer.from([0x04]))),
];
const SERVER_USAGE = [
  extension('551d13', true, sequence()),
  // digitalSignature
  extension('551d0f', true, bits(7, Buffer.from([0x80]))),
  // serverAuth
  extension('551d25', false, sequence(oid('2b06010505070301'))),
];

function alternativeName(host: string): Buffer {
  switch (isIP(host)) {
    case 4:
      return der(0x87, Buffer.from(host.split('.').map(Number)));
    case 6:
      return der(0x87, ipv6Bytes(host));
    default:
      return der(0x82, Buffer.from(host));
  }
}

function ipv6Bytes(address: string): Buffer {
  const [before = '', after] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [left, right] = [groups(before), groups(after ?? '')];
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

interface Request {
  readonly subject: Buffer;
  readonly subjectKey: KeyObject;
  readonly issuer: Buffer;
  readonly issuerKey: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly extensions: readonly Buffer[];
}

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });

/** An X.509 certificate of version 3 as PEM. Node can read certificates but not make them. */
function issue({ subject, subjectKey, issuer, issuerKey, extensions }: Request): string {
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    issuer,
    VALIDITY,
    subject,
    spki(subjectKey),
    der(
      0xa3,
      sequence(
        ...extensions,
        extension('551d0e', false, octets(keyId(spki(subjectKey)))),
        extension('551d23', false, sequence(der(0x80, keyId(spki(issuerKey.publicKey))))),
      ),
    ),
  );
  const signature = bits(0, sign('sha256', content, issuerKey.privateKey));
  const lines = sequence(content, ECDSA_WITH_SHA256, signature)
    .toString('base64')
    .replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** The authority's key is kept nowhere: what trusts this authority trusts this one certificate and no later one. */
function make(hosts: readonly string[]): { readonly ca: string; readonly cert: string; readonly key: string } {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = name(`MTPay sandbox authority ${randomBytes(4).toString('hex')}`);
  const ca = issue({
    subject: issuer,
    subjectKey: authority.publicKey,
    issuer,
    issuerKey: authority,
    extensions: AUTHORITY_USAGE,
  });
  const names = extension('551d11', false, sequence(...hosts.map(alternativeName)));
  const cert = issue({
    subject: name('MTPay sandbox'),
    subjectKey: server.publicKey,
    issuer,
    issuerKey: authority,
    extensions: [...SERVER_USAGE, names],
  });
  return { ca, cert, key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

const covers = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;

async function readExisting(
  folder: string,
  hosts: readonly string[],
): Promise<Omit<ServerCertificate, 'caFile'> | null> {
  try {
    const [cert, key] = await Promise.all(
      ['server.pem', 'server-key.pem'].map((file) => readFile(join(folder, file), 'utf8')),
    );
    const certificate = new X509Certificate(cert!);
    return hosts.every((host) => covers(certificate, host)) ? { cert: cert!, key: key! } : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * The certificate kept in `folder`, made there at the first start and again when it does not cover one of `hosts`.
 * `ca.pem` is what clients trust; only `server-key.pem` is a secret.
 */
export async function serverCertificate(folder: string, hosts: readonly string[]): Promise<ServerCertificate> {
  const caFile = join(folder, 'ca.pem');
  const existing = await readExisting(folder, hosts);
  if (existing !== null) return { ...existing, caFile };
  const { ca, cert, key } = make(hosts);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // The certificate comes last: until it is there, the next start makes all of them anew.
  await replace(join(folder, 'server-key.pem'), key, 0o600);
  await replace(caFile, ca, 0o644);
  await replace(join(folder, 'server.pem'), cert, 0o644);
  return { cert, key, caFile };
}

async function replace(file: string, content: string, mode: number): Promise<void> {
  const fresh = `${file}.${process.pid}.new`;
  await writeFile(fresh, content, { mode });
  await rename(fresh, file);
}
