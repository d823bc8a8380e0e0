import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { publicSealKey, sealKey, sealPublicKeys } from '../config/inbox-seal.ts';
import { ConfigError, loadSealConfig, loadSealKey } from '../config/load.ts';
import { takesNoArguments } from '../config/no-arguments.ts';
import { loadOwnerUrl } from '../config/owner-url.ts';
import { Secret } from '../config/secret.ts';
import { createPool } from '../database/pool.ts';
import { canWriteInboxItself, demandMacs, registeredSealKeys, registerSealKey } from '../database/seal-macs.ts';
import { vouchForWaiting } from '../mtpay/sealed-rows.ts';
import '../config/closed-output.ts';

/**
 * `npm run seal-key`: a new pair for the seals of inbox rows, as two lines of an environment file. `--register`, as the
 * schema's owner: from then on the database takes only what the API that has INBOX_SEAL_KEY, or another registered one,
 * puts into the inbox.
 */
const flags = takesNoArguments(
  'npm run seal-key',
  'makes a key for the seals of inbox rows and prints it with its public half.',
  {
    '--register':
      'registers INBOX_SEAL_KEY in the database of DATABASE_URL instead: it then refuses inbox rows of other keys',
  },
);

/** A message is written within a fraction of it. */
const ARRIVED_MS = 2_000;

if (flags.has('--register')) await register();
else {
  const seed = randomBytes(32);
  console.log(`INBOX_SEAL_KEY=${seed.toString('base64url')}`);
  console.log(`INBOX_SEAL_PUBLIC_KEYS=${publicSealKey(new Secret(seed))}`);
}

async function register(): Promise<void> {
  try {
    const seed = loadSealKey();
    const key = sealKey(seed);
    const { publicKeys, sealEpoch } = loadSealConfig(publicSealKey(seed));
    const trust = { publicKeys: sealPublicKeys(publicKeys), epoch: sealEpoch };
    const pool = createPool({
      url: loadOwnerUrl(join(process.cwd(), '.data', 'local.env')),
      max: 1,
      applicationName: 'deposit-seal-key',
    });
    try {
      if (await canWriteInboxItself(pool))
        throw new ConfigError(
          'the login app_api may still write the inbox by itself, whatever is registered: first "npm run migrate -- --contract"',
        );
      const isNew = await registerSealKey(pool, key, false);
      // What is on its way without a note of its MAC has arrived by then.
      if (isNew) await sleep(ARRIVED_MS);
      const first = await vouchForWaiting(pool, key.id, trust);
      await demandMacs(pool);
      const { vouched, others } = await vouchForWaiting(pool, key.id, trust);
      console.log(`${key.id} ${isNew ? 'is registered' : 'was registered before'}`);
      console.log(`rows that waited and bear a genuine seal: ${first.vouched + vouched}`);
      if (others.length > 0)
        console.log(`rows that wait without one, which no machine credits (engine.callback): ${others.join(', ')}`);
      console.log(`registered keys: ${(await registeredSealKeys(pool)).join(', ')}`);
    } finally {
      await pool.end();
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
