import type { ProviderName } from '../domain/order.ts';
import { createCallbacks, readings } from './mtpay/callback.ts';
import { REFUSALS } from './mtpay/codes.ts';
import { createPlacement } from './mtpay/place.ts';
import type { Provider } from './port.ts';

/** Every provider, by its name in tables and histories. Nothing else imports an adapter (test/docs/imports.test.ts). */
export const PROVIDERS = {
  mtpay: { createPlacement, createCallbacks, refusals: REFUSALS, readings },
} as const satisfies { readonly [name in ProviderName]: Provider };
