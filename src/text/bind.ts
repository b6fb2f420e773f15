/**
 * The program of a grammar that a raw prompt's answer is bound to. Server's main thread. It must never
 * hand on a grammar that is not wholly understood.
 */
import type { SamplingOptions } from '../engine/engine.js';
import { GrammarCache } from '../grammar/cache.js';
import { compileProgram } from '../grammar/compile.js';
import { parseGbnf } from '../grammar/gbnf.js';
import { namingParam } from '../grammar/refusal.js';

const cache = new GrammarCache();

/** GBNF with the start symbol `root` as an engine takes it. Code: grammar_invalid. */
export function grammarOf(text: string): NonNullable<SamplingOptions['grammar']> {
  return cache.of(text, () =>
    namingParam('grammar', () => {
      const { root, rules } = parseGbnf(text);
      return compileProgram(root, rules);
    }),
  );
}
