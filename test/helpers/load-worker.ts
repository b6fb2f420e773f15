/**
 * Loads the models that it is told of with the default libllama, one after the other, and uses each for a
 * moment: the engine's side of a fuzz test, in a process that may die of it. Run by fork; it says what
 * became of each file, or nothing where it died.
 */
import { loadAddon } from '../../src/engine/addon.js';
import { HoshikageError } from '../../src/errors.js';
import { openRealEngine } from './default-library.js';

/** What it is told. */
export interface LoadOrder {
  readonly path: string;
  readonly embeds: boolean;
}

/** What it says: `used`, or the code of the error. */
export interface LoadOutcome {
  readonly outcome: string;
}

const addon = loadAddon();

async function use({ path, embeds }: LoadOrder): Promise<string> {
  const engine = await openRealEngine(path, {
    ...{ contextTokens: 64, batchTokens: 32 },
    ...(embeds && { purpose: 'embed' }),
  });
  try {
    const tokens = await engine.tokenize([{ text: 'star', special: false }], true);
    if (tokens.length === 0) return 'used';
    if (embeds) await engine.embed([tokens]);
    else {
      const completion = engine.start({
        ...{ prompt: tokens, maxTokens: 2, cachePrompt: false },
        sampling: {
          ...{ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1, repeatPenalty: 1 },
          ...{ repeatLastN: 0, presencePenalty: 0, frequencyPenalty: 0, logitBias: [] },
          ignoreEos: false,
        },
      });
      for await (const _ of completion);
    }
    return 'used';
  } finally {
    if (addon.crashed() === null) await engine.close();
  }
}

process.on('message', (message) => {
  // Only the test holds the other end.
  void use(message as LoadOrder).then(say, (error: unknown) =>
    say(error instanceof HoshikageError ? error.code : String(error)),
  );
});
process.on('disconnect', () => process.exit(0));

function say(outcome: string): void {
  const crash = addon.crashed();
  const text = crash === null ? outcome : `gave up: ${crash}`;
  process.send?.({ outcome: text } satisfies LoadOutcome, () => {
    // A library that has given up is never called again.
    if (crash !== null) addon.endNow(70);
  });
}
