import { createInterface } from 'node:readline/promises';

/** Asks at the terminal; false for anything but `yes`, and where nobody answers. */
export async function typedYes(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return (await Promise.race([lines.question(`${question} Type yes: `), closed])).trim() === 'yes';
  } finally {
    lines.close();
  }
}
