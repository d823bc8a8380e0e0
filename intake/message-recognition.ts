import zlib from 'node:zlib';
import type { Keyring } from '../config/keys/keyring.ts';
import { type CapabilityKey, capabilityOf } from '../providers/callback-address.ts';
import type { CallbackPort } from '../providers/port.ts';

/** A message that was refused before it could be read as a callback. */
export interface RefusedMessage {
  /** The address as it was asked for; empty where none could be made out. */
  readonly path: string;
  /** At most the first 16 kB of the body, or of a packet that is no HTTP, as they came. */
  readonly bytes: Buffer;
  /** The content-encoding, if any. */
  readonly encoding: string | undefined;
}

/**
 * What a refused message proves all the same. `key id`: nothing else could be made out, and the address names a key of
 * ours, which only who has seen an address of ours can know.
 */
export interface Recognition {
  readonly proof: 'address and signature' | 'address' | 'signature' | 'key id';
  /** The order that the address belongs to. */
  readonly deposit?: string;
}

export interface RecognitionKeys {
  readonly provider: CallbackPort;
  readonly capabilities: Keyring<CapabilityKey>;
}

const MAX_UNPACKED_BYTES = 16 * 1024;

/**
 * Looks for an address of ours and a signature of the provider's in what could not be read. It decides nothing but
 * whether people are told: nothing that was found this way is stored or acknowledged. Null: a stranger's.
 */
export function recognizeMessage(keys: RecognitionKeys, message: RefusedMessage): Recognition | null {
  const verifying = keys.capabilities.verifying;
  const path = decoded(message.path);
  const address = addressIn(path);
  const { orders, isSigned } = keys.provider.traces(`${path} ${textOf(message)}`);
  const deposit = orders.find(
    (order) => address !== null && capabilityOf(verifying, address.kid, address.token, order) !== null,
  );
  if (deposit !== undefined) return { proof: isSigned ? 'address and signature' : 'address', deposit };
  if (isSigned) return { proof: 'signature' };
  return verifying.some(({ kid }) => kid === address?.kid) ? { proof: 'key id' } : null;
}

/** However much of it was written as %41. */
const decoded = (path: string): string =>
  path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** The last two parts of any path, so that an address with something before or behind it is known as well. */
function addressIn(path: string): { readonly kid: string; readonly token: string } | null {
  const found = /\/([0-9a-f]{8})\/+([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])/.exec(path);
  return found === null ? null : { kid: found[1]!, token: found[2]! };
}

/** ASCII is all that matters; without the NULs, UTF-16 has it too. */
const textOf = ({ bytes, encoding }: RefusedMessage): string =>
  (encoding === undefined ? bytes : unpacked(bytes)).toString('latin1').replaceAll('\0', '');

const UNPACK = [
  (bytes: Buffer) => zlib.unzipSync(bytes, { ...PARTLY, finishFlush: zlib.constants.Z_SYNC_FLUSH }),
  (bytes: Buffer) => zlib.brotliDecompressSync(bytes, PARTLY),
];
const PARTLY = { maxOutputLength: MAX_UNPACKED_BYTES } as const;

/** What one of the usual codings makes of it, up to 16 kB; otherwise the bytes themselves, which may lie about being coded. */
function unpacked(bytes: Buffer): Buffer {
  for (const unpack of UNPACK) {
    try {
      return unpack(bytes);
    } catch {
      // Another coding, or more than 16 kB.
    }
  }
  return bytes;
}
