/**
 * What a schema costs: the time per token of an answer that has to obey a JSON Schema, against one of
 * the same model that may say anything. Random weights: nearly every token that the model would choose
 * is forbidden, which is the worst case. Driven in this process, from the first token to the last.
 */
import { GREEDY } from '../../src/canary/canary-text.js';
import type { Engine, SamplingOptions } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { schemaExpression } from '../../src/grammar/schema.js';
import { openRealEngine } from '../../test/helpers/default-library.js';
import { randomSchema } from '../../test/helpers/random-schema.js';
import { cleaningUp } from './cleanup.js';
import { quantile, type Row } from './report.js';

const SCHEMAS = 40;
const CONTEXT = 1024;
const MAX_TOKENS = 200;
/** What is drawn with when nothing is said: a temperature, and the whole vocabulary. */
const SAMPLING = { ...GREEDY, temperature: 0.8, topP: 0.8 };

/** ms between the tokens of one answer. */
async function gapsOf(
  engine: Engine,
  prompt: Int32Array,
  { sampling, maxTokens }: { readonly sampling: SamplingOptions; readonly maxTokens: number },
): Promise<number[]> {
  const gaps: number[] = [];
  let last = 0;
  const request = { prompt, maxTokens, sampling, cachePrompt: true };
  for await (const batch of engine.start(request)) {
    const now = performance.now();
    // Several at once came as fast as one another.
    if (last > 0) {
      for (const _ of batch.tokens) gaps.push((now - last) / batch.tokens.length);
    }
    last = now;
  }
  return gaps;
}

function programOf(schema: unknown): Int32Array | null {
  try {
    const rules = new RuleSet();
    return compileProgram(schemaExpression(schema, rules), rules);
  } catch (thrown) {
    if (thrown instanceof HoshikageError && thrown.code === 'schema_unsupported') return null;
    throw thrown;
  }
}

/** The median time per token, free and bound, and the pair of the two for each schema. */
export function measureBound(modelPath: string): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const engine = await openRealEngine(modelPath, { contextTokens: CONTEXT, threads: 1 });
    owner.after(() => engine.close());
    const prompt = await engine.tokenize([{ text: 'x', special: false }], true);
    const free: number[] = [];
    const bound: number[] = [];
    for (let index = 0, done = -1; done < SCHEMAS; index++) {
      const grammar = programOf(randomSchema(index));
      if (!grammar) continue;
      const sampling = { ...SAMPLING, seed: index };
      const gaps = await gapsOf(engine, prompt, {
        ...{ sampling: { ...sampling, grammar }, maxTokens: MAX_TOKENS },
      });
      if (gaps.length < 5) continue;
      const others = await gapsOf(engine, prompt, {
        ...{ sampling: { ...sampling, ignoreEos: true }, maxTokens: gaps.length + 1 },
      });
      done += 1;
      // The first schema warms both sides up.
      if (done === 0) continue;
      bound.push(quantile(gaps, 0.5));
      free.push(quantile(others, 0.5));
    }
    return [
      {
        ...{ name: 'time per token under a schema', unit: 'ms', values: bound, target: '<= 2 x' },
        against: { name: 'the same, free', values: free },
      },
    ];
  });
}
