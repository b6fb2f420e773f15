/**
 * What the numbers of a model's header have to do with each other: only what no libllama could make
 * sense of, and of that what builds of it are known to crash on, or to read past an end for. Pure
 * functions; any process. A name or a number that is merely unknown is none of its business.
 */
import { CHARSMAP_KEY, type Metadata, SCORES_KEY, TOKEN_TYPES_KEY } from './gguf-metadata.js';
import { Unsound } from './gguf-reasons.js';

/** libllama's tables of layers have as many rows, and not all builds look before they write. */
const MOST_LAYERS = 512;
/** A vocabulary without texts is as large as its key says, before anything is compared with it. */
const MOST_DUMMY_TOKENS = 2 ** 24;
/** Bytes that tell how the rest of the table of characters is made. */
const CHARSMAP_HEAD_BYTES = 4;

/** The token that ends a text where a file names none, by its tokenizer. */
const USUAL_END: ReadonlyMap<string, number> = new Map([
  ['llama', 2],
  ['gpt2', 11],
  ['t5', 1],
  ['plamo2', 2],
]);

/** Refuses metadata that contradicts itself. */
export function checkMetadata(metadata: Metadata, architecture: string): void {
  checkLayers(metadata, architecture);
  checkExperts(metadata, architecture);
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
  if (used > experts || (experts > 0 && used < 1)) throw new Unsound('experts', { experts, used });
}

function checkVocabulary(metadata: Metadata, architecture: string): void {
  const { integers, texts, lists, tokens } = metadata;
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
  checkEnd(tokens.count, integers.get('tokenizer.ggml.eos_token_id'), texts);
}

/** A number out of the vocabulary counts as none was named; older builds then look the usual one up. */
function checkEnd(tokens: number, named: number | undefined, texts: Metadata['texts']): void {
  if (named !== undefined && named >= 0 && named < tokens) return;
  const id = USUAL_END.get(texts.get('tokenizer.ggml.model') ?? '');
  if (id !== undefined && id >= tokens) throw new Unsound('end_token', { id, tokens });
}
