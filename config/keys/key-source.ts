import { createHash } from 'node:crypto';
import { createKeyring, type Keyring } from './keyring.ts';
import { type KeyName, type KeyPair, type KeySets, type KeyTypes, keyVariables, parseKeys } from './keys.ts';
import { type Environment, type EnvironmentValues, withSecretFiles } from './secret-files.ts';

export type Keyrings<N extends KeyName = KeyName> = { readonly [name in N]: Keyring<KeyTypes[name]> };

/** The result of reading the files. `problems` are reported once for each refused content. */
export type KeyReload<N extends KeyName> =
  | { readonly kind: 'nothing new' }
  | { readonly kind: 'taken'; readonly before: KeySets<N>; readonly now: KeySets<N> }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/**
 * The keys of a process: read at its start, and again whenever a file of theirs changes. If a part of a change is
 * wrong, the whole change is refused and the old keys stay.
 */
export class KeySource<N extends KeyName> {
  readonly rings: Keyrings<N>;
  readonly #env: Environment;
  readonly #names: readonly N[];
  readonly #rules: { readonly samples: boolean };
  #sets: KeySets<N>;
  /** Digests of contents: the one that was judged last, and the one that was read last. */
  #judged: string;
  #seen: string;

  /** `first`: the values of the environment and its files when the process started, and the keys parsed from them. */
  constructor(
    env: Environment,
    names: readonly N[],
    rules: { readonly samples: boolean },
    first: { readonly values: Environment; readonly keys: KeySets<N> },
  ) {
    this.#env = env;
    this.#names = names;
    this.#rules = rules;
    this.#sets = first.keys;
    this.#judged = this.#seen = this.#digest({ values: first.values, problems: [] });
    const ring = <M extends N>(name: M): Keyring<KeyTypes[M]> => createKeyring(() => this.#sets[name]);
    this.rings = Object.fromEntries(names.map((name) => [name, ring(name)])) as Keyrings<N>;
  }

  get sets(): KeySets<N> {
    return this.#sets;
  }

  /** Whether any key comes from a file, so that reading again makes sense. */
  get isReloadable(): boolean {
    return keyVariables(this.#names).some((name) => (this.#env[`${name}_FILE`] ?? '') !== '');
  }

  /** Reads the files. Judges only a content that two reads in a row found: files are not written in one instant. */
  look(): KeyReload<N> {
    const given = this.#read();
    const digest = this.#digest(given);
    const settled = digest === this.#seen;
    this.#seen = digest;
    if (!settled || digest === this.#judged) return { kind: 'nothing new' };
    this.#judged = digest;
    const { keys, problems } = parseKeys(given.values, this.#names, this.#rules);
    const all = [...given.problems, ...problems, ...(keys === null ? [] : changedSecrets(this.#sets, keys))];
    if (keys === null || all.length > 0) return { kind: 'refused', problems: all };
    const before = this.#sets;
    this.#sets = keys;
    return { kind: 'taken', before, now: keys };
  }

  #read(): EnvironmentValues {
    return withSecretFiles(this.#env, keyVariables(this.#names));
  }

  #digest({ values, problems }: EnvironmentValues): string {
    const keys = keyVariables(this.#names).map((name) => values[name] ?? null);
    return createHash('sha256')
      .update(JSON.stringify([keys, problems]))
      .digest('hex');
  }
}

/**
 * Returns the problem of another secret for a known access key. A pair comes in two files, and one may be new while the
 * other is still old: no mixture of two pairs is taken.
 */
function changedSecrets(before: Partial<KeySets>, now: Partial<KeySets>): string[] {
  const known = pairsOf(before);
  const mixed = pairsOf(now).some((pair) =>
    known.some((old) => old.accessKey.equals(pair.accessKey) && !old.secretKey.equals(pair.secretKey)),
  );
  return mixed ? ['MTPAY_SECRET_KEY: is another for the same access key; take the pair away first'] : [];
}

function pairsOf({ mtpay }: Partial<KeySets>): KeyPair[] {
  if (mtpay === undefined) return [];
  return [mtpay.current, mtpay.next, mtpay.previous?.key ?? null].filter((pair) => pair !== null);
}
