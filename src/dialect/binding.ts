/**
 * The grammar of a whole output, put together from a family's reasoning marks and the grammar of its
 * calls. Pure, any thread; it must never write what the family's listener would not read.
 */
import {
  choice,
  counted,
  type Expression,
  free,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { looseSchema, schemaExpression } from '../grammar/schema.js';
import type { CallRules, Thinking, Tool } from './dialect.js';
import type { ThinkMarks } from './listener.js';
import type { CallSyntax } from './scene.js';
import { Words } from './words.js';

/** Most calls in one answer that is bound. */
export const MAX_CALLS = 128;

/** A few characters of white space: without an end, some models write nothing else. */
export const SPACE: Expression = counted(
  {
    kind: 'class',
    ranges: [
      [0x09, 0x0a],
      [0x20, 0x20],
    ],
  },
  0,
  4,
);

/** What models write between the parts of JSON: nothing, a space, or a line break and its indentation. */
export const GAP: Expression = optional(
  choice(
    text(' '),
    sequence(text('\n'), choice(counted(text(' '), 0, 24), counted(text('\t'), 1, 6))),
  ),
);

/** A family's calls, for reading and for writing. */
export interface CallStyle {
  readonly syntax: CallSyntax;
  /** One call or several, with all of the family's marks. */
  bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression;
  /** Those that begin with a mark, where `bind` has bare ones too. */
  bindMarked?(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression;
  /** Calls in a block of code, where the style reads them. */
  bindBlocks?(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression;
}

const NONE = sequence(text('{'), GAP, text('}'));

/** The JSON arguments of a tool: an object. Codes: schema_unsupported for a strict tool. */
export function argumentsOf(tool: Tool, rules: RuleSet): Expression {
  if (tool.parameters === null) return NONE;
  const { parameters, strict } = tool;
  const schema = 'type' in parameters ? parameters : { type: 'object', ...parameters };
  return rules.shared(`arguments-${tool.name}`, () =>
    strict ? schemaExpression(schema, rules) : looseSchema(schema, rules),
  );
}

/** A list of at least one. */
export function listOf(part: Expression, between: Expression, parallel: boolean): Expression {
  return parallel ? sequence(part, repeat(sequence(between, part), 0, MAX_CALLS - 1)) : part;
}

/**
 * Reasoning, as there may be, and what comes after it. `unended`: what may follow reasoning that was never
 * ended, and which texts it begins with.
 */
export function bindThinking(
  marks: ThinkMarks | null,
  thinking: Thinking,
  rest: Expression,
  unended: { readonly calls: Expression; readonly begins: readonly string[] } | null = null,
): Expression {
  if (marks === null) return rest;
  const leads = (marks.leads ?? []).map(text);
  const answer = leads.length === 0 ? rest : sequence(optional(choice(...leads)), rest);
  if (thinking === 'none') return answer;
  const ended = sequence(until(marks.close), SPACE, answer);
  const inside =
    unended === null
      ? ended
      : choice(ended, sequence(free(marks.close, ...unended.begins), unended.calls));
  if (thinking === 'open') return inside;
  return choice(answer, sequence(SPACE, text(marks.open), inside));
}

/** The whole output where there are tools. */
export function bindOutput(
  marks: ThinkMarks | null,
  style: CallStyle,
  rules: RuleSet,
  { tools, choice: kind, parallel, thinking }: CallRules,
): Expression {
  const { begins, isBare, blocks = [] } = style.syntax;
  const own = rules.add('calls', () => sequence(style.bind(rules, tools, parallel), SPACE));
  const fenced = style.bindBlocks?.(rules, tools, parallel);
  const block = fenced && rules.add('blocks', () => sequence(fenced, SPACE));
  const bound = block === undefined ? own : choice(own, block);
  const marked = isBare ? style.bindMarked?.(rules, tools, parallel) : own;
  const unended = marked && begins.length > 0 ? { calls: sequence(marked, SPACE), begins } : null;
  const after = [marked, block].filter((one) => one !== undefined);
  if (kind === 'required') {
    const calls = sequence(SPACE, bound);
    return thinking === 'none' ? calls : bindThinking(marks, thinking, calls, unended);
  }
  // Where the answer may begin with reasoning, its mark would have the listener look for its end.
  const opens = marks !== null && thinking === 'possible' ? [marks.open] : [];
  const isBracket = (begin: string): boolean => /[[{]$/.test(begin);
  const words = new Words(rules, {
    marks: [
      ...begins,
      ...blocks.filter((one) => !isBracket(one)),
      ...opens,
      ...(marks?.leads ?? []),
    ],
    brackets: blocks.filter(isBracket),
    names: tools.map(({ name }) => name),
    after: after.length === 0 ? null : choice(...after),
  });
  const output = isBare ? choice(words.notBare(), sequence(SPACE, bound)) : words.any();
  return bindThinking(marks, thinking, output, unended);
}
