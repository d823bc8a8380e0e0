import { type Keyring, mapKeyring } from '../config/keys/keyring.ts';
import type { KeyTypes } from '../config/keys/keys.ts';
import type { CallbacksConfig } from '../config/settings/callbacks.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { capabilityKey } from '../providers/callback-address.ts';
import { createProviderClock } from '../providers/clock.ts';
import { PROVIDERS } from '../providers/providers.ts';
import { createCallbackApp } from './callback-app.ts';
import { type Listener, listen, LISTENER_LIMITS, type ListenerLimits } from './http/http.ts';
import { takeTurns } from '../intake/admission-control.ts';
import { createReceiver, type ReceiveDependencies } from '../intake/receive-callback.ts';
import type { RecognitionKeys } from '../intake/message-recognition.ts';

type Rings = { readonly [name in 'mtpay' | 'callback']: Keyring<KeyTypes[name]> };

interface CallbackListenerDependencies
  extends Pick<ReceiveDependencies, 'pool' | 'seal' | 'signal' | 'isEmpty' | 'underWay' | 'log'> {
  readonly config: Pick<CallbacksConfig, 'ack' | 'callbackListen'>;
  readonly rings: Rings;
  readonly limits?: ListenerLimits;
}

/** The keys that recognize a callback in any form and on any listener. */
export const recognitionKeys = (rings: Rings): RecognitionKeys => ({
  provider: PROVIDERS.mtpay.createCallbacks(rings.mtpay),
  capabilities: mapKeyring(rings.callback, capabilityKey),
});

/**
 * Opens the public listener with the receiver that verifies and stores callbacks. Rejects when the address is taken.
 */
export function openCallbackListener({
  config,
  rings,
  limits = LISTENER_LIMITS,
  ...deps
}: CallbackListenerDependencies): Promise<Listener> {
  const receiver = createReceiver({
    ...deps,
    ...recognitionKeys(rings),
    clock: createProviderClock(deps.pool),
  });
  const turn = takeTurns();
  const app = createCallbackApp({
    receiver: {
      ...receiver,
      receive: async (request) => {
        await turn().catch((error: unknown) => {
          raiseAlarm(deps.log, 'callback_not_stored', { error: 'TooManyWait' });
          throw error;
        });
        return receiver.receive(request);
      },
    },
    ack: config.ack,
    log: deps.log,
  });
  return listen(app, config.callbackListen, limits, deps.log, receiver.refused);
}

/** The last callback under a key may arrive both windows after the last order was placed with it. */
export function callbackOverlaps({ paymentWindowMs, listeningWindowMs }: CallbacksConfig['settings']) {
  const overlapMs = paymentWindowMs + listeningWindowMs;
  return { mtpay: overlapMs, callback: overlapMs };
}
