/**
 * A question with yes or no on a terminal. Runs in the CLI process. Whatever is no clear yes, the end of
 * the input included, is a no; Ctrl-C ends the question as it ends any other work.
 */
import { createInterface } from 'node:readline/promises';
import { HoshikageError } from '../src/errors.js';

/** Asks until there is an answer or the signal aborts. Code: cancelled. */
export async function askYes(
  question: string,
  {
    input,
    output,
    signal,
  }: {
    readonly input: NodeJS.ReadableStream;
    readonly output: NodeJS.WritableStream;
    readonly signal: AbortSignal;
  },
): Promise<boolean> {
  const asking = createInterface({ input, output });
  // While it reads keys one by one, the terminal makes no signal of Ctrl-C.
  asking.on('SIGINT', () => process.emit('SIGINT', 'SIGINT'));
  const ended = new Promise<string>((resolve) => asking.once('close', () => resolve('')));
  const answered = asking.question(question, { signal }).catch((cause: unknown) => {
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause });
    return '';
  });
  try {
    return /^\s*y(es)?\s*$/i.test(await Promise.race([answered, ended]));
  } finally {
    asking.close();
  }
}
