/**
 * The next turn of a conversation whose model was idle and unloaded: time to its first token without
 * the load, with the saved state brought back and with the prompt computed again, taking turns. Seen
 * from outside, over HTTP.
 */
import {
  makeHome,
  type ServerStatus,
  startServer,
  type TestServer,
} from '../../test/helpers/server.js';
import { until } from '../../test/helpers/waiting.js';
import { type Chunk, chunksOf, openStream, streamChat } from '../../test/helpers/wire.js';
import { cleaningUp } from './cleanup.js';
import type { Row } from './report.js';

/** Tokens of the conversation's first turn, about: every word is several. */
const WORDS = 300;

interface Message {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** The last chunk of a choice has them. */
type TimedChunk = Chunk & { readonly timings?: { readonly load_ms: number } };

/** About 2,000 tokens that no other turn begins with. */
function longText(turn: number): string {
  const words = Array.from(
    { length: WORDS },
    (_, i) => `word${(i * 7919 + turn * 104_729) % 9973}`,
  );
  return `${turn}: ${words.join(' ')}`;
}

const bodyOf = (messages: readonly Message[], more: object): object => ({
  ...{ model: 'bench', messages, temperature: 0, ignore_eos: true, max_tokens: 8, ...more },
  stream_options: { include_usage: true },
});

/** Milliseconds to the first text without the load, and how many tokens were not computed. */
async function firstToken(
  server: TestServer,
  body: object,
): Promise<{ ms: number; cached: number }> {
  const asked = performance.now();
  let [first, load, cached] = [0, 0, 0];
  for await (const chunk of chunksOf(await openStream(server, body)) as AsyncIterable<TimedChunk>) {
    if (chunk.error) throw new Error(chunk.error.message);
    if ((chunk.choices?.[0]?.delta.content ?? '') !== '') first ||= performance.now();
    load = chunk.timings?.load_ms ?? load;
    cached = chunk.usage?.prompt_tokens_details?.cached_tokens ?? cached;
  }
  return { ms: first - asked - load, cached };
}

const isUnloaded = ({ model }: ServerStatus): boolean => model === null;

/** Woken against computed, turn by turn. */
export function measureWake(modelPath: string, repeats: number): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const home = makeHome(owner);
    home.writeMap({ bench: modelPath });
    const env = { LOG_LEVEL: 'warn', IDLE_TIMEOUT: '0.3' };
    const server = await startServer(owner, { home, env });
    const unloaded = () => until('unload', async () => isUnloaded(await server.status()));
    const [woken, computed]: [number[], number[]] = [[], []];
    for (let turn = 0; turn < repeats; turn++) {
      const question: Message = { role: 'user', content: longText(turn) };
      const { text: answer, usage } = await streamChat(server, bodyOf([question], {}));
      const before = usage?.prompt_tokens ?? Number.NaN;
      const talk: Message[] = [
        question,
        { role: 'assistant', content: answer },
        { role: 'user', content: 'And then?' },
      ];
      await unloaded();
      const back = await firstToken(server, bodyOf(talk, {}));
      if (!(back.cached >= 0.95 * before))
        throw new Error(`${back.cached} of ${before} tokens came back`);
      await unloaded();
      const anew = await firstToken(server, bodyOf(talk, { cache_prompt: false }));
      woken.push(back.ms);
      computed.push(anew.ms);
      if (turn === 0) console.log(`a first turn of ${before} tokens`);
    }
    return [
      {
        ...{ name: 'first token of the next turn after an unload', unit: 'ms', values: woken },
        ...{ against: { name: 'computed again', values: computed }, target: '<= 0.3 x' },
      },
    ];
  });
}
