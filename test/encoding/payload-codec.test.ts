import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../config/keys/secret.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { createPayloadCodec, payloadKeyId, PayloadUnreadable } from '../../encoding/payload-codec.ts';
import { loadDataConverter, loadPayloadKeys } from '../../config/temporal.ts';

const key = () => new Secret(randomBytes(32));
const [ours, older, foreign] = [key(), key(), key()];
const codec = createPayloadCodec([ours]);
const plain = defaultPayloadConverter.toPayload({ wallet: 'wallet-42', amount: '5000' });
const bytes = (value: Uint8Array | null | undefined) => Buffer.from(value ?? []);

describe('an encrypted payload', () => {
  it('is read again as it was, its own metadata included', async () => {
    const [read] = await codec.decode(await codec.encode([plain]));
    expect(defaultPayloadConverter.fromPayload(read!)).toEqual({ wallet: 'wallet-42', amount: '5000' });
    expect(bytes(read!.metadata!['encoding'])).toEqual(bytes(plain.metadata!['encoding']));
  });

  it('names its key, shows nothing of what is in it, and is another every time', async () => {
    const [one, two] = await codec.encode([plain, plain]);
    expect(bytes(one!.metadata!['encoding']).toString()).toBe('binary/encrypted');
    expect(bytes(one!.metadata!['encryption-key-id']).toString()).toBe(payloadKeyId(ours));
    expect(Object.keys(one!.metadata!)).toEqual(['encoding', 'encryption-key-id']);
    expect(bytes(one!.data).includes('wallet-42')).toBe(false);
    expect(bytes(one!.data).equals(bytes(two!.data))).toBe(false);
  });

  it('of the key before this one is read, and new ones have the new key', async () => {
    const both = createPayloadCodec([ours, older]);
    expect(await both.decode(await createPayloadCodec([older]).encode([plain]))).toMatchObject([
      { data: expect.anything() },
    ]);
    const [written] = await both.encode([plain]);
    expect(bytes(written!.metadata!['encryption-key-id']).toString()).toBe(payloadKeyId(ours));
  });

  it('of a key that is not here is refused by the id of the key', async () => {
    const written = await createPayloadCodec([foreign]).encode([plain]);
    await expect(codec.decode(written)).rejects.toThrow(
      new PayloadUnreadable(`a payload was encrypted with key ${payloadKeyId(foreign)}, which is not here`),
    );
  });

  it.each([
    ['its first byte', 0],
    ['a byte in the middle', 20],
    ['its last byte', -1],
  ])('that was changed in %s is refused', async (_, at) => {
    const [written] = await codec.encode([plain]);
    const changed = bytes(written!.data);
    const index = at < 0 ? changed.length + at : at;
    changed[index] = changed[index]! ^ 1;
    await expect(codec.decode([{ ...written!, data: changed }])).rejects.toThrow(PayloadUnreadable);
  });

  it.each([
    ['cut short', Buffer.from('x')],
    ['empty', Buffer.alloc(0)],
  ])('that is %s is refused', async (_, data) => {
    const [written] = await codec.encode([plain]);
    await expect(codec.decode([{ ...written!, data }])).rejects.toThrow(PayloadUnreadable);
  });

  it('whose metadata names another key of ours than it was written with is refused', async () => {
    const [written] = await codec.encode([plain]);
    const moved = {
      ...written!,
      metadata: { ...written!.metadata, 'encryption-key-id': Buffer.from(payloadKeyId(older)) },
    };
    await expect(createPayloadCodec([ours, older]).decode([moved])).rejects.toThrow(PayloadUnreadable);
  });
});

it('what was never encrypted passes, between what was', async () => {
  const [written] = await codec.encode([plain]);
  const read = await codec.decode([plain, written!, plain]);
  expect(read.map((payload) => defaultPayloadConverter.fromPayload(payload))).toEqual(
    [1, 2, 3].map(() => ({ wallet: 'wallet-42', amount: '5000' })),
  );
  expect(await codec.decode([])).toEqual([]);
});

describe('the settings of the codec', () => {
  const text = randomBytes(32).toString('base64url');

  it('are off when there is no key', () => {
    expect(loadDataConverter({})).toEqual({});
    expect(loadDataConverter({ TEMPORAL_CODEC_KEY: '' })).toEqual({});
  });

  it('with a key encrypt payloads and the texts of failures', () => {
    expect(loadDataConverter({ TEMPORAL_CODEC_KEY: text })).toMatchObject({
      payloadCodecs: [expect.anything()],
      failureConverterPath: expect.stringContaining('failure-converter'),
    });
    expect(loadPayloadKeys({ TEMPORAL_CODEC_KEY: text, TEMPORAL_CODEC_KEY_PREVIOUS: text })).toHaveLength(2);
  });

  it.each([
    [{ TEMPORAL_CODEC_KEY: 'too short' }, 'TEMPORAL_CODEC_KEY: expected at least 32 random bytes as base64url'],
    [
      { TEMPORAL_CODEC_KEY: text, TEMPORAL_CODEC_KEY_PREVIOUS: 'x' },
      'TEMPORAL_CODEC_KEY_PREVIOUS: expected at least 32 random bytes as base64url',
    ],
    [{ TEMPORAL_CODEC_KEY_PREVIOUS: text }, 'TEMPORAL_CODEC_KEY_PREVIOUS is set without TEMPORAL_CODEC_KEY: set both'],
  ])('are refused when they are none: %#', (env, message) => {
    expect(() => loadDataConverter(env)).toThrow(new ConfigError(message));
  });
});
