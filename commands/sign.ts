import { openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { readArgumentsOr } from '../config/command-line.ts';
import { newOperatorKey } from '../config/keys/operator-keys.ts';
import { runReviews, STEP_OPTIONS } from './reviews-terminal.ts';
import { createSigner } from './signing.ts';
import { typedYes } from './typed-yes.ts';
import '../config/broken-pipe.ts';

/** `npm run sign -- …`: signs an operator's steps on his own device, with a key that never leaves it. */

const USAGE = `npm run --silent sign -- --new-key FILE
npm run sign -- --key FILE --name NAME propose|confirm|withdraw …   as npm run reviews has them
                [--wallet WALLET]  whose wallet --to belongs to    [--yes]  do not ask`;

const options = {
  'new-key': { type: 'string' },
  key: { type: 'string' },
  name: { type: 'string' },
  yes: { type: 'boolean', default: false },
  wallet: { type: 'string' },
  ...STEP_OPTIONS,
} as const;
const { values, positionals } = readArgumentsOr(USAGE, options);

async function main(): Promise<number> {
  const { 'new-key': newKey, key, name, yes, ...said } = values;
  try {
    if (newKey !== undefined) return makeKey(newKey);
    if (key === undefined || name === undefined) throw new Error(`--key and --name are needed\n\n${USAGE}`);
    const agrees = async (shown: readonly string[]) => {
      for (const line of shown) console.error(line);
      return yes || (await typedYes('Sign this?'));
    };
    const signer = createSigner(name, { pem: readKey(key), agrees });
    const terminal = { out: (line: string) => console.log(line), error: (line: string) => console.error(line) };
    return await runReviews(positionals, said, process.env, terminal, signer);
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
}

/** Throws `EEXIST` if the file exists. Only its owner may read the new file. */
function makeKey(file: string): number {
  const { privateKey, publicKey } = newOperatorKey();
  writeSync(openSync(file, 'wx', 0o600), privateKey);
  console.error('The public key follows: give it to whoever keeps OPERATOR_PUBLIC_KEYS, as NAME=KEY.');
  console.log(publicKey);
  return 0;
}

function readKey(file: string): string {
  if ((statSync(file).mode & 0o077) !== 0) throw new Error(`${file} can be read by others: chmod 600 ${file}`);
  return readFileSync(file, 'utf8');
}

process.exitCode = await main();
