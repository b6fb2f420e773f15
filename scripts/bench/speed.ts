/**
 * Rows 1 to 3: what a server adds to each token. The addon driven bare in this process, the same work
 * streamed by each server, and libllama's own llama-bench, taking turns: same model, library, threads
 * and sampling, each from the first token to the last. Prefill and load are not part of it.
 */
import { spawnSync } from 'node:child_process';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { CompletionRequest, Engine } from '../../src/engine/engine.js';
import { openRealEngine } from '../../test/helpers/default-library.js';
import { cleaningUp } from './cleanup.js';
import { streamed, tokensPerSecond } from './client.js';
import { freshSeed, words } from './models.js';
import type { Row } from './report.js';
import { againstPeer, chatBody, type Given, inTurns, type Side, sides } from './sides.js';

/** A model, how much it is to say, and how it chooses. */
export interface SpeedCase {
  readonly name: string;
  readonly modelPath: string;
  readonly tokens: number;
  readonly threads: number;
  /** For everybody; greedy where absent. */
  readonly sampling?: { readonly temperature: number; readonly topP: number };
}

/** Tokens/s of everybody, turn by turn. */
export interface Speeds {
  readonly bare: readonly number[];
  readonly ours: readonly number[];
  readonly peer: readonly number[];
}

const CONTEXT = 2048;
const PROMPT_TOKENS = 24;

/** Runs everybody in turn. */
export function speedsOf(wanted: SpeedCase, given: Given): Promise<Speeds> {
  return cleaningUp(async (owner) => {
    const { modelPath, threads, tokens } = wanted;
    const engine = await openRealEngine(modelPath, { contextTokens: CONTEXT, threads });
    owner.after(() => engine.close());
    const pair = await sides(owner, given, { modelPath, threads, slots: 1, context: CONTEXT });
    const { temperature = 0, topP = 1 } = wanted.sampling ?? {};
    const overHttp = (side: Side) => async (): Promise<number> => {
      const seed = freshSeed();
      const more = {
        ...{ temperature, top_p: topP, top_k: 0, min_p: 0, seed, max_tokens: tokens },
        cache_prompt: false,
      };
      return tokensPerSecond(await streamed(side, chatBody(words(PROMPT_TOKENS, seed), more)));
    };
    return inTurns(given.repeats, {
      bare: async () => {
        const seed = freshSeed();
        const text = words(PROMPT_TOKENS, seed);
        const prompt = await engine.tokenize([{ text, special: false }], true);
        const sampling = { ...GREEDY, temperature, topP, seed, ignoreEos: true };
        return bareSpeed(engine, { prompt, maxTokens: tokens, sampling, cachePrompt: false });
      },
      ours: overHttp(pair.ours),
      peer: pair.peer && overHttp(pair.peer),
    });
  });
}

async function bareSpeed(engine: Engine, request: CompletionRequest): Promise<number> {
  let [first, last, tokens, inFirst] = [0, 0, 0, 0];
  for await (const batch of engine.start(request)) {
    last = performance.now();
    if (first === 0) [first, inFirst] = [last, batch.tokens.length];
    tokens += batch.tokens.length;
  }
  return (tokens - inFirst) / ((last - first) / 1000);
}

/** Rows 1 and 2: the time that is added to each token. `most`: the target, ms. */
export async function measureExtra(wanted: SpeedCase, given: Given, most: number): Promise<Row[]> {
  const { bare, ours, peer } = await speedsOf(wanted, given);
  const extra = (speeds: readonly number[]): number[] =>
    speeds.map((speed, i) => 1000 / speed - 1000 / (bare[i] ?? Number.NaN));
  return [
    {
      ...{ name: `${wanted.name}: extra time per token`, unit: 'ms', values: extra(ours) },
      target: `<= ${most}`,
      ...againstPeer(extra(peer)),
    },
    {
      ...{ name: `${wanted.name}: streamed`, unit: 'tokens/s', values: ours },
      against: { name: 'bare loop', values: bare },
    },
  ];
}

/** Row 3: streamed tokens/s as a share of the bare loop, and of what llama-bench says. */
export async function measureShare(wanted: SpeedCase, given: Given): Promise<Row[]> {
  const { bare, ours, peer } = await speedsOf(wanted, given);
  const loop = { name: 'bare loop', values: bare };
  return [
    {
      ...{ name: `${wanted.name}: streamed`, unit: 'tokens/s', values: ours, against: loop },
      target: '>= 0.95 x',
    },
    {
      ...{ name: `${wanted.name}: streamed by llama-server`, unit: 'tokens/s', values: peer },
      ...(peer.length > 0 ? { against: loop } : againstPeer([])),
    },
    llamaBench(wanted, given, loop),
  ];
}

/** What libllama's own benchmark says of the same model; not taken in turns, so only for orientation. */
function llamaBench(wanted: SpeedCase, { llamaBench, repeats }: Given, against: Row['against']) {
  const name = `${wanted.name}: llama-bench`;
  if (llamaBench === null)
    return { name, unit: 'tokens/s', values: [], note: 'LLAMA_BENCH is not given' };
  const args = [
    ...['-m', wanted.modelPath, '-t', String(wanted.threads), '-ngl', '0', '-p', '0'],
    ...['-n', String(wanted.tokens), '-r', String(repeats), '-o', 'json'],
  ];
  const { stdout, stderr, status } = spawnSync(llamaBench, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`llama-bench ended with ${status}:\n${stderr.slice(-2000)}`);
  // The shape is that of its documentation.
  const [{ samples_ts: values } = { samples_ts: [] }] = JSON.parse(stdout) as {
    samples_ts: number[];
  }[];
  return { name, unit: 'tokens/s', values, ...(against && { against }) };
}
