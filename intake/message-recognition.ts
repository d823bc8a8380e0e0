import zlib from 'node:zlib';
import type { Keyring } from '../config/keys/keyring.ts';
import { type CapabilityKey, capabilityOf } from '../providers/callback-address.ts';
import type { CallbackPort } from '../providers/port.ts';

/** A message that was refused before it could be read as a callback. */
export interface RefusedMessage {
  /** The requested address; empty where none could be read. */
  readonly path: string;
  /** At most the first 16 kB of the body, or of a packet that is no HTTP, as they came. */
  readonly bytes: Buffer;
  /** The content-encoding, if any. */
  readonly encoding: string | undefined;
}

/**
 * The proof in a refused message. `key id`: the address only names one of our keys. Only somebody who has seen one of
 * our addresses can know that id.
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
 * Looks for an address of ours and a signature of the provider's in an unreadable message. Only an alarm depends on it:
 * nothing that was found this way is stored or acknowledged. Null: a stranger's.
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

/** Decodes every percent-encoded character. */
const decoded = (path: string): string =>
  path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Finds the two parts of an address anywhere in a path, whatever is before or behind them. */
function addressIn(path: string): { readonly kid: string; readonly token: string } | null {
  const found = /\/([0-9a-f]{8})\/+([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])/.exec(path);
  return found === null ? null : { kid: found[1]!, token: found[2]! };
}

/** The body as text. Only ASCII matters; without the NULs, UTF-16 has it too. */
const textOf = ({ bytes, encoding }: RefusedMessage): string =>
  (encoding === undefined ? bytes : unpacked(bytes)).toString('latin1').replaceAll('\0', '');

const UNPACK = [
  (bytes: Buffer) => zlib.unzipSync(bytes, { ...PARTLY, finishFlush: zlib.constants.Z_SYNC_FLUSH }),
  (bytes: Buffer) => zlib.brotliDecompressSync(bytes, PARTLY),
];
const PARTLY = { maxOutputLength: MAX_UNPACKED_BYTES } as const;

/**
 * Decompresses the body with one of the usual codings, up to 16 kB. Otherwise returns the bytes themselves: the header
 * may be wrong.
 */
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
