/**
 * What a model is for, by what its file says: to generate text, or only to make embeddings.
 * Any process. It must never load a model to find out.
 */
import type { GgufFacts } from '../models/gguf.js';
import type { Purpose } from './pool-status.js';

/** Architectures that see a text at once and keep no cache, so that they cannot go on writing it. */
const ENCODERS: ReadonlySet<string> = new Set([
  'bert',
  'modern-bert',
  'nomic-bert',
  'nomic-bert-moe',
  'neo-bert',
  'eurobert',
  'jina-bert-v2',
  'jina-bert-v3',
  't5encoder',
  'gemma-embedding',
]);

/** A file that names a way to pool its tokens was made for embeddings, whatever it could do besides. */
export function purposeOf(facts: Pick<GgufFacts, 'architecture' | 'poolingType'>): Purpose {
  const pools = facts.poolingType !== null && facts.poolingType !== 0;
  return pools || ENCODERS.has(facts.architecture) ? 'embed' : 'generate';
}
