import { expect, it } from 'vitest';
import { decrypt, encrypt, encryptionKey, encryptionKeyId } from '../../encoding/encryption.ts';

const material = { reveal: () => Buffer.alloc(32, 7) };

it('rows and histories of before can be opened: key, name of the key and form are the same for ever', () => {
  const stored = Buffer.from('AQEBAQEBAQEBAQEBd-Yn4tBILsxq2IBXL5OdaPyrDyYDiYL62A', 'base64url');
  expect(decrypt(encryptionKey(material, 'payer-name'), 'o-1', stored).toString()).toBe('王小明');
  expect(encryptionKeyId(material, 'payer-name')).toBe('7f0c5ed3');
  expect(encryptionKeyId(material, 'temporal-codec')).toBe('eaefd35a');
  expect(encryptionKey(material, 'temporal-codec').toString('hex')).toBe(
    'e842d038120fed27bfbe5ee1af104216fb5609454a9e1eaf4540c8c695832edd',
  );
});

it('a key given for another purpose opens nothing', () => {
  const closed = encrypt(encryptionKey(material, 'payer-name'), 'o-1', Buffer.from('Wang'));
  expect(() => decrypt(encryptionKey(material, 'temporal-codec'), 'o-1', closed)).toThrow();
  expect(decrypt(encryptionKey(material, 'payer-name'), 'o-1', closed).toString()).toBe('Wang');
});
