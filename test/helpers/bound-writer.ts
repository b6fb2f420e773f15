/**
 * Whether a model that is bound to a dialect may write a text, by the tests' own plain matcher. It must
 * never look at what a family's calls look like.
 */
import { dialectOf } from '../../src/dialect/detect.js';
import type { CallRules, Thinking, Tool } from '../../src/dialect/dialect.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { TEMPLATES } from '../dialect/templates.js';
import { accepts } from './grammar-matcher.js';

/** How a bound model is asked. */
export interface Asking {
  readonly tools: readonly Tool[];
  readonly thinking?: Thinking;
}

/** Whether a model of the family of this name, bound so, may write a whole text. */
export function writer(name: string, choice: CallRules['choice'], asking: Asking) {
  const { tools, thinking = 'none' } = asking;
  const rules = new RuleSet();
  const dialect = dialectOf(TEMPLATES[name] ?? '');
  const output = dialect.bindCalls(rules, { tools, choice, parallel: true, thinking });
  const program = compileProgram(output, rules);
  return (text: string): boolean => accepts(program, text) === true;
}
