/**
 * What the numbers of a model's header have to do with each other: only what no libllama could make
 * sense of, and of that what builds of it are known to crash on, or to read past an end for. Pure
 * functions; any process. A name or a number that is merely unknown is none of its business.
 */
import { CHARSMAP_KEY, type Metadata, SCORES_KEY, TOKEN_TYPES_KEY } from './gguf-metadata.js';
import { Unsound } from './gguf-reasons.js';
import { atLayer, type PerLayer } from './gguf-shape.js';

/** libllama's tables of layers have as many rows, and not all builds look before they write. */
const MOST_LAYERS = 512;
/** Far more than any build takes; beyond, products of such numbers wrap around. */
const MOST_EXPERTS = 2 ** 16;
/** A vocabulary without texts is as large as its key says, before anything is compared with it. */
const MOST_DUMMY_TOKENS = 2 ** 24;
/** Bytes that tell how the rest of the table of characters is made. */
const CHARSMAP_HEAD_BYTES = 4;

/** Which tokens libllama takes where a file names none, by its tokenizer. */
const USUAL_TOKENS: ReadonlyMap<string, Readonly<Record<string, number>>> = new Map([
  ['llama', { bos: 1, eos: 2, unknown: 0 }],
  ['gpt2', { bos: 11, eos: 11 }],
  ['bert', { bos: 101, unknown: 100, seperator: 102 }],
  ['t5', { eos: 1, unknown: 2 }],
  ['plamo2', { bos: 1, eos: 2, unknown: 0 }],
]);

/** Refuses metadata that contradicts itself. */
export function checkMetadata(metadata: Metadata, architecture: string): void {
  checkLayers(metadata, architecture);
  checkExperts(metadata, architecture);
  checkHeads(metadata, architecture);
  checkVocabulary(metadata, architecture);
}

function checkLayers({ integers }: Metadata, architecture: string): void {
  const layers = integers.get(`${architecture}.block_count`);
  if (layers === undefined) return;
  if (layers < 1 || layers > MOST_LAYERS) throw new Unsound('layers', { layers });
  const predicting = integers.get(`${architecture}.nextn_predict_layers`) ?? 0;
  if (predicting > layers) throw new Unsound('predicting_layers', { layers, predicting });
}

function checkExperts({ integers, arrays }: Metadata, architecture: string): void {
  const experts = integers.get(`${architecture}.expert_count`) ?? 0;
  const key = `${architecture}.expert_used_count`;
  const used = Math.max(integers.get(key) ?? 0, ...(arrays.get(key) ?? []));
  // There one expert stands for none.
  if (experts <= 1 && architecture.startsWith('hunyuan')) return;
  const isTooMany = used > experts || experts > MOST_EXPERTS;
  if (isTooMany || (experts > 0 && used < 1)) throw new Unsound('experts', { experts, used });
}

/** Keys and values have as many heads as queries or fewer, in every layer that has any. */
function checkHeads({ integers, arrays }: Metadata, architecture: string): void {
  const each = (name: string): PerLayer | null => {
    const key = `${architecture}.attention.${name}`;
    return arrays.get(key) ?? integers.get(key) ?? null;
  };
  const [heads, kvHeads] = [each('head_count'), each('head_count_kv')];
  const layers = integers.get(`${architecture}.block_count`) ?? 0;
  for (let layer = 0; layer < layers; layer++) {
    const [queries, keys] = [atLayer(heads, layer) ?? 0, atLayer(kvHeads, layer) ?? 0];
    if (queries > 0 && keys > queries) throw new Unsound('heads', { heads: queries, keys });
  }
}

function checkVocabulary(metadata: Metadata, architecture: string): void {
  const { integers, lists, tokens } = metadata;
  const charsmap = lists.get(CHARSMAP_KEY) ?? 0;
  if (charsmap > 0 && charsmap < CHARSMAP_HEAD_BYTES) {
    throw new Unsound('charsmap', { bytes: charsmap });
  }
  if (tokens === null) {
    const count = integers.get(`${architecture}.vocab_size`) ?? 0;
    if (count > MOST_DUMMY_TOKENS) throw new Unsound('dummy_tokens', { count });
    return;
  }
  for (const key of [SCORES_KEY, TOKEN_TYPES_KEY]) {
    const count = lists.get(key) ?? tokens.count;
    if (count < tokens.count) throw new Unsound('token_list', { key, count, tokens: tokens.count });
  }
  checkUsualTokens(metadata, tokens.count);
}

/**
 * A number out of the vocabulary counts as not named. Builds look the usual one up without asking whether
 * there is one, or give up where there is none.
 */
function checkUsualTokens({ integers, texts }: Metadata, tokens: number): void {
  const usual = USUAL_TOKENS.get(texts.get('tokenizer.ggml.model') ?? '') ?? {};
  for (const [role, id] of Object.entries(usual)) {
    const named = integers.get(`tokenizer.ggml.${role}_token_id`) ?? -1;
    const isThere = named >= 0 && named < tokens;
    if (!isThere && id >= tokens) throw new Unsound('usual_token', { role, id, tokens });
  }
}
