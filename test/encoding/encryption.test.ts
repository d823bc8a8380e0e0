import { expect, it } from 'vitest';
import { decrypt, encrypt, encryptionKey, encryptionKeyId } from '../../encoding/encryption.ts';
import { createPayloadCodec, payloadKeyId } from '../../encoding/payload-codec.ts';
import { nameKeyId } from '../../encoding/payer-name.ts';

const material = { reveal: () => Buffer.alloc(32, 7) };

it('rows and histories of before can be opened: key, name of the key and form are the same for ever', () => {
  const stored = Buffer.from('AQEBAQEBAQEBAQEBd-Yn4tBILsxq2IBXL5OdaPyrDyYDiYL62A', 'base64url');
  expect(decrypt(encryptionKey(material, 'payer-name'), 'o-1', stored).toString()).toBe('王小明');
  expect([nameKeyId(material), encryptionKeyId(material, 'payer-name')]).toEqual(['7f0c5ed3', '7f0c5ed3']);
  expect([payloadKeyId(material), encryptionKeyId(material, 'temporal-codec')]).toEqual(['eaefd35a', 'eaefd35a']);
  expect(encryptionKey(material, 'temporal-codec').toString('hex')).toBe(
    'e842d038120fed27bfbe5ee1af104216fb5609454a9e1eaf4540c8c695832edd',
  );
});

it('a key given for another purpose opens nothing', () => {
  const closed = encrypt(encryptionKey(material, 'payer-name'), 'o-1', Buffer.from('Wang'));
  expect(() => decrypt(encryptionKey(material, 'temporal-codec'), 'o-1', closed)).toThrow();
  expect(decrypt(encryptionKey(material, 'payer-name'), 'o-1', closed).toString()).toBe('Wang');
});

const codec = createPayloadCodec([material]);
const encrypted = (id: string) => ({
  metadata: { encoding: Buffer.from('binary/encrypted'), 'encryption-key-id': Buffer.from(id) },
  data: Buffer.from('WaJsmT37Uo6HL2Ikl3dQJ72WHfB6AS2hqTJgg_XG5sw716lvBk0v8tJm7eFTfmpfYY_AErXZPOtr', 'base64url'),
});

it('so it is with a payload, and one without metadata passes as it is', async () => {
  const [opened, plain] = await codec.decode([encrypted('eaefd35a'), { data: Buffer.from('x') }]);
  expect(Buffer.from(opened!.data!).toString()).toBe('"w"');
  expect(plain).toEqual({ data: Buffer.from('x') });
});

it.each(['', '0f0f0f0', '0f0f0f0f0', 'x0f0f0f0f', 'a secret'])(
  'the name %j of a key is none of ours to repeat',
  async (id) => {
    await expect(codec.decode([encrypted(id)])).rejects.toThrow(
      new Error('a payload was encrypted with key without a readable id, which is not here'),
    );
  },
);
