/**
 * Texts to vectors of length 1. Runs in the server, one call per request. It must refuse what does not
 * fit before anything is computed, and never let one request's texts hold up another's for long.
 */
import type { Engine } from '../engine/engine.js';
import { tokensWithin } from '../engine/long-text.js';
import { checkLength, checkTokens } from '../engine/token-ids.js';
import { HoshikageError } from '../errors.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import { type EmbedDeps, type EmbedRun, withModel } from './with-model.js';

/** What to embed. */
export interface EmbedRequest {
  readonly model: string;
  /** Texts, or token ids that are taken as they are. */
  readonly inputs: readonly (string | Int32Array)[];
  /** The name of an input in errors. */
  readonly nameOf: (index: number) => string;
  /** How many of a vector's first values are kept; null = all. */
  readonly dimensions: number | null;
}

/** One vector per input, in order. */
export interface Embedded {
  readonly vectors: readonly Float32Array[];
  readonly promptTokens: number;
}

/** Inputs that an engine gets at once; between two groups others have their turn. */
const GROUP = 16;

/**
 * Embeds the inputs. Codes: those of withModel, invalid_value (an input without tokens, a token the
 * vocabulary has not, dimensions the model has not), context_length_exceeded, model_not_embedding,
 * decode_failed.
 */
export function embed(deps: EmbedDeps, request: EmbedRequest, run: EmbedRun): Promise<Embedded> {
  const { model, dimensions } = request;
  return withModel(deps, { model, run }, async (engine) => {
    // A reranker's scores are no vector, however long.
    if (engine.info.model.poolingType === 'rank') {
      throw new HoshikageError('model_not_embedding', {
        ...{ param: 'model', reason: 'it is a reranker' },
        reason_ja: '再順位付けのモデルです',
      });
    }
    checkDimensions(dimensions, engine.info.model.embeddingLength);
    const prompts = await promptsOf(engine, request, run.signal);
    const vectors: Float32Array[] = [];
    for (let from = 0; from < prompts.length; from += GROUP) {
      throwIfGone(run.signal);
      const group = prompts.slice(from, from + GROUP);
      const raw = await engine.embed(group, { signal: run.signal });
      vectors.push(...raw.map((vector) => normalised(vector, dimensions ?? vector.length)));
    }
    return { vectors, promptTokens: prompts.reduce((sum, { length }) => sum + length, 0) };
  });
}

/** The tokens of every input, each of a length the model can take. */
async function promptsOf(
  engine: Engine,
  { inputs, nameOf }: EmbedRequest,
  signal: AbortSignal,
): Promise<readonly Int32Array[]> {
  const { contextTokens, model } = engine.info;
  const prompts: Int32Array[] = [];
  for (const [index, input] of inputs.entries()) {
    const param = nameOf(index);
    const isText = typeof input === 'string';
    const prompt = isText
      ? await unlessGone(
          tokensWithin(engine, [{ text: input, special: false }], {
            addSpecial: true,
            limit: contextTokens,
          }),
          signal,
        )
      : input;
    if (!isText) checkTokens(prompt, model.vocabularySize, param);
    checkLength(prompt.length, { contextTokens, param });
    prompts.push(prompt);
  }
  return prompts;
}

function checkDimensions(dimensions: number | null, length: number): void {
  if (dimensions === null || dimensions <= length) return;
  throw new HoshikageError('invalid_value', {
    param: 'dimensions',
    reason: `the model has ${length}`,
    reason_ja: `このモデルは ${length} 次元です`,
  });
}

/** The first values of a vector, as a vector of length 1; one of zeros stays. */
function normalised(vector: Float32Array, dimensions: number): Float32Array {
  const kept = vector.slice(0, dimensions);
  let squares = 0;
  for (const value of kept) squares += value * value;
  const length = Math.sqrt(squares);
  if (!Number.isFinite(length)) throw new HoshikageError('decode_failed');
  return length > 0 ? kept.map((value) => value / length) : kept;
}
