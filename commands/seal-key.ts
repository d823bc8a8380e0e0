import { randomBytes } from 'node:crypto';
import { takesNoArguments } from '../config/no-arguments.ts';
import { Secret } from '../config/secret.ts';
import { publicSealKey } from '../config/inbox-seal.ts';
import '../config/closed-output.ts';

/** `npm run seal-key`: a new pair for the seals of inbox rows, as two lines of an environment file. */
takesNoArguments('npm run seal-key', 'makes a key for the seals of inbox rows and prints it with its public half.');

const seed = randomBytes(32);
console.log(`INBOX_SEAL_KEY=${seed.toString('base64url')}`);
console.log(`INBOX_SEAL_PUBLIC_KEYS=${publicSealKey(new Secret(seed))}`);
