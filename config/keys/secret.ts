/** Key material of any length. It prints as `[redacted]`, so that a config printed by mistake shows nothing. */
export class Secret {
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  /** The key itself; for crypto only. */
  reveal(): Buffer {
    return this.#bytes;
  }
  equals(other: Secret): boolean {
    return this.#bytes.equals(other.#bytes);
  }
  toString(): string {
    return '[redacted]';
  }
  toJSON(): string {
    return '[redacted]';
  }
}
