/**
 * The grammar of a whole output, put together from a family's reasoning marks and the grammar of its
 * calls. Pure, any thread; it must never write what the family's listener would not read.
 */
import {
  choice,
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

/** Most calls in one answer that is bound. */
export const MAX_CALLS = 128;

/** A few characters of white space: without an end, some models write nothing else. */
export const SPACE: Expression = repeat(
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

/** A family's calls, for reading and for writing. */
export interface CallStyle {
  readonly syntax: CallSyntax;
  /** One call or several, with all of the family's marks. */
  bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression;
}

/** The JSON arguments of a tool: an object. Codes: schema_unsupported for a strict tool. */
export function argumentsOf(tool: Tool, rules: RuleSet): Expression {
  if (tool.parameters === null) return text('{}');
  const schema =
    'type' in tool.parameters ? tool.parameters : { type: 'object', ...tool.parameters };
  const expression = tool.strict ? schemaExpression(schema, rules) : looseSchema(schema, rules);
  return rules.add(`arguments-${tool.name}`, () => expression);
}

/** A list of at least one. */
export function listOf(part: Expression, between: Expression, parallel: boolean): Expression {
  return parallel ? sequence(part, repeat(sequence(between, part), 0, MAX_CALLS - 1)) : part;
}

/** Reasoning, as there may be, and what comes after it. */
export function bindThinking(
  marks: ThinkMarks | null,
  thinking: Thinking,
  rest: Expression,
): Expression {
  if (marks === null) return rest;
  const leads = (marks.leads ?? []).map(text);
  const answer = leads.length === 0 ? rest : sequence(optional(choice(...leads)), rest);
  if (thinking === 'none') return answer;
  if (thinking === 'open') return sequence(until(marks.close), SPACE, answer);
  const thought = sequence(SPACE, text(marks.open), until(marks.close), SPACE);
  return sequence(optional(thought), answer);
}

/** The whole output where there are tools. */
export function bindOutput(
  marks: ThinkMarks | null,
  style: CallStyle,
  rules: RuleSet,
  { tools, choice: kind, parallel, thinking }: CallRules,
): Expression {
  const bound = rules.add('calls', () => style.bind(rules, tools, parallel));
  if (kind === 'required') {
    const calls = sequence(SPACE, bound);
    return thinking === 'none' ? calls : bindThinking(marks, thinking, calls);
  }
  const { begins, isBare } = style.syntax;
  // Where the answer may begin with reasoning, its mark would have the listener look for its end.
  const opens = marks !== null && thinking === 'possible' ? [marks.open] : [];
  const texts = [...begins, ...opens, ...(marks?.leads ?? [])];
  const words = texts.length === 0 ? ANY : free(...texts);
  const output = isBare ? choice(plainText(words, texts), bound) : sequence(words, optional(bound));
  return bindThinking(marks, thinking, output);
}

/** All code points but these; UTF-8 has no surrogates. */
function without(characters: string): Expression {
  const ranges: (readonly [number, number])[] = [];
  const points = [...characters].map((char) => char.codePointAt(0) ?? 0).sort((a, b) => a - b);
  let from = 0;
  for (const point of points) {
    if (point > from) ranges.push([from, point - 1]);
    from = point + 1;
  }
  return { kind: 'class', ranges: [...ranges, [from, 0xd7ff], [0xe000, 0x10ffff]] };
}

const ANY = repeat(without(''), 0);

/**
 * Text that does not begin as a bare call would: `{"` and the first letter of one of its keys; nor with
 * the first character of one of `texts`, which `words` is without.
 */
function plainText(words: Expression, texts: readonly string[]): Expression {
  const blank = ' \t\r\n';
  const firsts = texts.map((begin) => begin.charAt(0)).join('');
  const begun: Expression[] = [without(`${blank}{[${firsts}`)];
  if (!firsts.includes('{')) {
    begun.push(sequence(text('{'), SPACE, without(`${blank}"${firsts}`)));
    begun.push(sequence(text('{'), SPACE, text('"'), without(`natpfi\\"${firsts}`)));
  }
  if (!firsts.includes('[')) begun.push(sequence(text('['), SPACE, without(`${blank}{${firsts}`)));
  return optional(sequence(SPACE, choice(...begun), words));
}
