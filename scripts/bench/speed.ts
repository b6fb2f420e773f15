/**
 * Generation speed: the addon driven bare in this process, and the same work streamed by a server.
 * Both sides run the same model, library, threads and sampling, taking turns, each from the first
 * token to the last: prefill and load are not part of it.
 */
import { GREEDY } from '../../src/canary/canary-text.js';
import type { CompletionRequest, Engine } from '../../src/engine/engine.js';
import { openRealEngine } from '../../test/helpers/default-library.js';
import { makeHome, startServer, type TestServer } from '../../test/helpers/server.js';
import { chatBody, chunksOf, openStream } from '../../test/helpers/wire.js';
import { cleaningUp } from './cleanup.js';
import { quantile, type Row } from './report.js';

/** A model and how to sample from it. */
export interface SpeedCase {
  readonly name: string;
  readonly modelPath: string;
  readonly tokens: number;
  readonly repeats: number;
  /** For both sides; greedy where absent. */
  readonly sampling?: { readonly temperature: number; readonly topP: number };
}

const CONTEXT = 1024;

/** Tokens/s between the first and the last arrival. */
interface Run {
  readonly tokens: number;
  readonly seconds: number;
}

async function bareRun(engine: Engine, request: CompletionRequest): Promise<Run> {
  let [first, last, tokens, inFirst] = [0, 0, 0, 0];
  for await (const batch of engine.start(request)) {
    last = performance.now();
    if (first === 0) [first, inFirst] = [last, batch.tokens.length];
    tokens += batch.tokens.length;
  }
  return { tokens: tokens - inFirst, seconds: (last - first) / 1000 };
}

async function streamedRun(server: TestServer, body: object): Promise<Run> {
  let [first, last, tokens] = [0, 0, 0];
  for await (const chunk of chunksOf(await openStream(server, body))) {
    if (chunk.error) throw new Error(chunk.error.message);
    tokens = chunk.usage?.completion_tokens ?? tokens;
    if ((chunk.choices?.[0]?.delta.content ?? '') === '') continue;
    last = performance.now();
    first ||= last;
  }
  return { tokens: tokens - 1, seconds: (last - first) / 1000 };
}

/** Bare and streamed tokens/s, the ratio of each pair of turns, and the extra time per token. */
export function measureSpeed(wanted: SpeedCase): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const { temperature = 0, topP = 1 } = wanted.sampling ?? {};
    const engine = await openRealEngine(wanted.modelPath, { contextTokens: CONTEXT, threads: 1 });
    owner.after(() => engine.close());
    const home = makeHome(owner);
    home.writeMap({ bench: wanted.modelPath });
    const env = { N_THREADS: '1', N_CTX: String(CONTEXT), LOG_LEVEL: 'warn' };
    const server = await startServer(owner, { home, env });
    const bare: number[] = [];
    const streamed: number[] = [];
    for (let turn = 0; turn <= wanted.repeats; turn++) {
      // Text that no other turn begins with.
      const question = `${turn} ${wanted.name}`;
      const segments = [{ text: question, special: false }];
      const sampling = { ...GREEDY, temperature, topP, seed: turn, ignoreEos: true };
      const prompt = await engine.tokenize(segments, true);
      const request = { prompt, maxTokens: wanted.tokens, sampling, cachePrompt: false };
      const one = await bareRun(engine, request);
      const more = {
        ...{ temperature, top_p: topP, top_k: 0, seed: turn, repeat_penalty: 1 },
        ...{ ignore_eos: true, max_tokens: wanted.tokens, cache_prompt: false },
        stream_options: { include_usage: true },
      };
      const other = await streamedRun(server, chatBody('bench', question, more));
      // The first turn warms both sides up.
      if (turn === 0) continue;
      bare.push(one.tokens / one.seconds);
      streamed.push(other.tokens / other.seconds);
    }
    return rowsOf(wanted.name, bare, streamed);
  });
}

function rowsOf(name: string, bare: readonly number[], streamed: readonly number[]): Row[] {
  const pairs = bare.map((one, i) => [one, streamed[i] ?? Number.NaN] as const);
  const middle = quantile(bare, 0.5);
  return [
    { name: `${name}: bare loop`, unit: 'tokens/s', values: bare },
    { name: `${name}: streamed`, unit: 'tokens/s', values: streamed },
    {
      name: `${name}: streamed / bare`,
      unit: 'ratio',
      values: pairs.map(([one, other]) => other / one),
    },
    {
      name: `${name}: extra per token`,
      unit: 'ms',
      values: streamed.map((other) => 1000 / other - 1000 / middle),
    },
  ];
}
