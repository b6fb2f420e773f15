/**
 * The bytes of single tokens, asked of an engine once each. Any process that holds an Engine. What was
 * asked is kept as long as the engine: a vocabulary does not change.
 */
import type { Engine } from './engine.js';

/** Calls to an engine that are under way at once for one request. */
const GROUP = 64;

const known = new WeakMap<object, Map<number, Uint8Array>>();

/**
 * The bytes of every token that occurs, special ones rendered. One call per different token, since an
 * engine joins what it is given; `check` is called between groups of them and may throw.
 */
export async function piecesOf(
  engine: Pick<Engine, 'detokenize'>,
  tokens: Iterable<number>,
  check: () => void = () => {},
): Promise<ReadonlyMap<number, Uint8Array>> {
  const bytes = known.get(engine) ?? new Map<number, Uint8Array>();
  known.set(engine, bytes);
  const missing = [...new Set(tokens)].filter((token) => !bytes.has(token));
  for (let from = 0; from < missing.length; from += GROUP) {
    check();
    const group = missing.slice(from, from + GROUP);
    const pieces = await Promise.all(group.map((token) => engine.detokenize(Int32Array.of(token))));
    for (const [index, piece] of pieces.entries()) bytes.set(group[index] ?? -1, piece);
  }
  return bytes;
}
