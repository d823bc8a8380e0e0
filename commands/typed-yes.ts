import { createInterface } from 'node:readline/promises';

/** Asks at the terminal; resolves to false for any answer but `yes`, and when the input ends. */
export async function typedYes(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return (await Promise.race([lines.question(`${question} Type yes: `), closed])).trim() === 'yes';
  } finally {
    lines.close();
  }
}
