import { KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';

/** Key and certificate of a TLS listener, as PEM, and the file with the authority that its clients trust. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
  /** The certificate of the authority that signed it, for a client's list of trusted authorities. */
  readonly caFile: string;
}

/** RFC 5280's value for "no well-defined end": the certificate of a forgotten sandbox must not expire. */
const VALIDITY = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('9999-12-31T23:59:59Z') };
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/**
 * Makes an authority and a certificate of it for these hosts, as PEM. The authority's key is discarded: a client that
 * trusts this authority trusts only this one certificate.
 */
export async function makeCertificate(
  hosts: readonly string[],
): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
  // Imported only when a certificate is made: most starts find one.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const pair = () => webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const [authority, server] = [await pair(), await pair()];
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...VALIDITY,
    name: `CN=MTPay sandbox authority ${randomBytes(4).toString('hex')}`,
    keys: authority,
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const cert = await x509.X509CertificateGenerator.create({
    ...VALIDITY,
    subject: 'CN=MTPay sandbox',
    issuer: ca.subject,
    publicKey: server.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(server.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const key = KeyObject.from(server.privateKey).export({ type: 'pkcs8', format: 'pem' });
  return { ca: ca.toString('pem'), cert: cert.toString('pem'), key: key.toString() };
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
 * Returns the certificate in `folder`, made at the first start and remade if it does not cover one of `hosts`. Clients
 * trust `ca.pem`; only `server-key.pem` is a secret.
 */
export async function serverCertificate(folder: string, hosts: readonly string[]): Promise<ServerCertificate> {
  const caFile = join(folder, 'ca.pem');
  const existing = await readExisting(folder, hosts);
  if (existing !== null) return { ...existing, caFile };
  const { ca, cert, key } = await makeCertificate(hosts);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // The certificate is written last: without it, the next start remakes all files.
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
