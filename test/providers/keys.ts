import { randomBytes } from 'node:crypto';
import { Secret } from '../../config/keys/secret.ts';
import type { MtpayKey } from '../../providers/mtpay/signature.ts';

export const secret = (text: string): Secret => new Secret(Buffer.from(text, 'utf8'));
export const randomSecret = (): Secret => new Secret(randomBytes(32));

/** The key material printed in the provider's document; public, and so of use in tests only. */
export const documentKey: MtpayKey = {
  accessKey: secret('B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R'),
  secretKey: secret('WUYx7DTQZakugtP9gOAimYUphcnc3jWuPRi1UVnWmwXSnMnsCVBzz1ILdaxisvz9'),
};
