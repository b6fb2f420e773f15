/**
 * How well documents answer a query, by a model that was made to say so. Runs in the server, one call per
 * request. It must refuse what does not fit before anything is computed, and never let one request's
 * documents hold up another's for long.
 */
import type { Engine, ModelFacts, TextSegment } from '../engine/engine.js';
import { tokensWithin } from '../engine/long-text.js';
import { checkLength } from '../engine/token-ids.js';
import { HoshikageError } from '../errors.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import { type EmbedDeps, type EmbedRun, withModel } from './with-model.js';

/** What to compare. */
export interface RerankRequest {
  readonly model: string;
  readonly query: string;
  readonly documents: readonly string[];
}

/** One score per document, in their order: what the model says, higher for better. */
export interface Reranked {
  readonly scores: readonly number[];
  readonly promptTokens: number;
}

/** Documents that an engine gets at once; between two groups others have their turn. */
const GROUP = 16;

/**
 * Scores the documents. Codes: those of withModel, model_not_reranking, context_length_exceeded (by the
 * document), decode_failed.
 */
export function rerank(deps: EmbedDeps, request: RerankRequest, run: EmbedRun): Promise<Reranked> {
  const { model } = request;
  return withModel(deps, { model, run }, async (engine) => {
    if (engine.info.model.poolingType !== 'rank') {
      throw new HoshikageError('model_not_reranking', { model, param: 'model' });
    }
    const prompts = await promptsOf(engine, request, run.signal);
    const scores: number[] = [];
    for (let from = 0; from < prompts.length; from += GROUP) {
      throwIfGone(run.signal);
      const group = prompts.slice(from, from + GROUP);
      const raw = await engine.embed(group, { signal: run.signal });
      scores.push(...raw.map(scoreOf));
    }
    return { scores, promptTokens: prompts.reduce((sum, { length }) => sum + length, 0) };
  });
}

/** The tokens of each document beside the query, all of a length the model can take. */
async function promptsOf(
  engine: Engine,
  { query, documents }: RerankRequest,
  signal: AbortSignal,
): Promise<readonly Int32Array[]> {
  const { contextTokens, model } = engine.info;
  const tokenize = (segments: readonly TextSegment[]): Promise<Int32Array> =>
    unlessGone(tokensWithin(engine, segments, { addSpecial: false, limit: contextTokens }), signal);
  const template = model.rerankTemplate ?? null;
  const asked = await tokenize([plain(query)]);
  // Else the first document would be told that it is too long.
  checkLength(asked.length, { contextTokens, param: 'query' });
  const pair = template === null ? pairOf(model, asked) : null;
  const prompts: Int32Array[] = [];
  for (const [index, document] of documents.entries()) {
    const tokens =
      template === null
        ? pair?.(await tokenize([plain(document)]))
        : await tokenize(filled(template, { query, document }));
    if (!tokens) continue;
    checkLength(tokens.length, { contextTokens, param: `documents[${index}]` });
    prompts.push(tokens);
  }
  return prompts;
}

const plain = (text: string): TextSegment => ({ text, special: false });

/** The model's own form of the two; what they say stays text. */
function filled(
  template: string,
  texts: { readonly query: string; readonly document: string },
): readonly TextSegment[] {
  return template
    .split(/(\{query\}|\{document\})/)
    .filter((part) => part !== '')
    .map((part) => {
      if (part === '{query}') return plain(texts.query);
      return part === '{document}' ? plain(texts.document) : { text: part, special: true };
    });
}

/**
 * Puts a document behind the query: `[BOS] query [EOS] [SEP] document [EOS]` with those of them that the
 * vocabulary has; one that has no EOS ends both by SEP, as BERT does.
 */
function pairOf(
  { addBos, bosToken, eosToken, sepToken = null }: ModelFacts,
  query: Int32Array,
): (document: Int32Array) => Int32Array {
  const end = eosToken ?? sepToken;
  const between = [...new Set([end, sepToken])].filter((token) => token !== null);
  // XLM-R's separator is its EOS, and it wants two.
  if (eosToken !== null && eosToken === sepToken) between.push(sepToken);
  const before = addBos && bosToken !== null ? [bosToken] : [];
  const after = end === null ? [] : [end];
  return (document) => Int32Array.from([...before, ...query, ...between, ...document, ...after]);
}

function scoreOf([score]: Float32Array): number {
  if (score === undefined || !Number.isFinite(score)) throw new HoshikageError('decode_failed');
  return score;
}
