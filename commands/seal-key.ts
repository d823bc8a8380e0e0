import { randomBytes } from 'node:crypto';
import { publicSealKey, sealKey } from '../config/keys/inbox-seal.ts';
import { ConfigError } from '../config/settings/read-environment.ts';
import { loadSealKey, loadSealTrust } from '../config/settings/seals.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { loadOwnerUrl } from '../config/settings/migration.ts';
import { Secret } from '../config/keys/secret.ts';
import { createPool } from '../database/pool.ts';
import { canWriteInboxItself, DemandHeldUp, registeredSealKeys } from '../database/queries/seal-macs.ts';
import { registerAndVouch } from '../providers/sealed-rows.ts';
import '../config/broken-pipe.ts';
import '../database/command-errors.ts';

/**
 * `npm run seal-key`: prints a new key pair for the seals of inbox rows, as two lines of an environment file.
 * `--register`, as the schema's owner: registers INBOX_SEAL_KEY instead. From then on the database accepts inbox rows
 * only from an API with a registered key.
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
    const seed = loadSealKey();
    const key = sealKey(seed);
    const trust = loadSealTrust(publicSealKey(seed));
    const pool = createPool({
      url: loadOwnerUrl(),
      max: 1,
      applicationName: 'deposit-seal-key',
    });
    try {
      if (await canWriteInboxItself(pool))
        throw new ConfigError(
          'the login app_api may still write the inbox by itself, whatever is registered: first "npm run migrate -- --contract"',
        );
      const { isNew, vouched, held, others } = await registerAndVouch(pool, key, trust);
      console.log(`${key.id} ${isNew ? 'is registered' : 'was registered before'}`);
      console.log(`rows that waited and bear a genuine seal: ${vouched}`);
      if (others.length > 0)
        console.log(`rows that wait without one, which nobody credits (engine.callback): ${others.join(', ')}`);
      if (held > 0)
        throw new ConfigError(`genuine rows that somebody holds, which wait for another run of this command: ${held}`);
      console.log(`registered keys: ${(await registeredSealKeys(pool)).join(', ')}`);
    } finally {
      await pool.end();
    }
  } catch (error) {
    if (error instanceof DemandHeldUp)
      console.error(`a MAC is not demanded yet, run this again. In the way: ${error.message}`);
    else if (error instanceof ConfigError) console.error(error.message);
    else throw error;
    process.exitCode = 1;
  }
}
