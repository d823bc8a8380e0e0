import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { publicSealKey, sealKey } from '../config/inbox-seal.ts';
import { ConfigError, loadSealKey } from '../config/load.ts';
import { takesNoArguments } from '../config/no-arguments.ts';
import { loadOwnerUrl } from '../config/owner-url.ts';
import { Secret } from '../config/secret.ts';
import { createPool } from '../database/pool.ts';
import { registeredSealKeys, registerSealKey } from '../database/seal-macs.ts';
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

if (flags.has('--register')) await register();
else {
  const seed = randomBytes(32);
  console.log(`INBOX_SEAL_KEY=${seed.toString('base64url')}`);
  console.log(`INBOX_SEAL_PUBLIC_KEYS=${publicSealKey(new Secret(seed))}`);
}

async function register(): Promise<void> {
  try {
    const key = sealKey(loadSealKey());
    const pool = createPool({
      url: loadOwnerUrl(join(process.cwd(), '.data', 'local.env')),
      max: 1,
      applicationName: 'deposit-seal-key',
    });
    try {
      const isNew = await registerSealKey(pool, key);
      console.log(`${key.id} ${isNew ? 'is registered' : 'was registered before'}`);
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
