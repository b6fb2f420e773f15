/**
 * A dialect made of two halves that families mix freely: the marks of its reasoning and the style of
 * its calls. Pure, any thread; it must never look at a template.
 */
import { choice, type Expression, type RuleSet } from '../grammar/expression.js';
import { bindOutput, bindThinking, type CallStyle } from './binding.js';
import type { CallRules, Dialect, Hearing, Listener, Thinking, Tool } from './dialect.js';
import { listenWith, readAnswer, type ThinkMarks } from './listener.js';

/** The reasoning of a family. */
export interface Reasoning extends ThinkMarks {
  /** Ends reasoning as the template would write it. */
  readonly end: string;
}

/** Whether an answer to this prompt begins with reasoning between these marks. */
export function thinkingAfter(marks: ThinkMarks | null, prompt: string): Thinking {
  if (marks === null) return 'none';
  const end = prompt.trimEnd();
  if (end.endsWith(marks.open.trimEnd())) return 'open';
  const isPast = [marks.close, ...(marks.leads ?? [])].some((mark) => end.endsWith(mark.trimEnd()));
  return isPast ? 'none' : 'possible';
}

/**
 * A style whose calls may also be written as `bare` ones, for a model that was told of its tools in words
 * and may yet write as it learnt to.
 */
export function orBare(style: CallStyle, bare: CallStyle): CallStyle {
  if (style.syntax.isBare) return style;
  const blocks = bare.syntax.blocks ?? [];
  const bindMarked = (rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression =>
    rules.shared('marked-calls', () => style.bind(rules, tools, parallel));
  return {
    ...bare,
    syntax: {
      ...bare.syntax,
      begins: style.syntax.begins,
      read: (scene, begin) =>
        (begin === '' || blocks.includes(begin) ? bare : style).syntax.read(scene, begin),
    },
    bind: (rules, tools, parallel) =>
      choice(bare.bind(rules, tools, parallel), bindMarked(rules, tools, parallel)),
    bindMarked,
  };
}

/** A dialect of reasoning marks and calls; `hasCalls`: the calls are the family's own. */
export function makeDialect(
  name: string,
  reasoning: Reasoning | null,
  style: CallStyle,
  hasCalls: boolean,
): Dialect {
  return {
    name,
    hasCalls,
    endOfReasoning: reasoning?.end ?? '',
    thinkingAfter: (prompt: string): Thinking => thinkingAfter(reasoning, prompt),
    listen(hearing: Hearing): Listener {
      const { tools, thinking } = hearing;
      const syntax = tools.length > 0 ? style.syntax : null;
      return listenWith(hearing, (scene) => readAnswer(scene, reasoning, thinking, syntax));
    },
    bindAnswer: (answer: Expression, thinking: Thinking): Expression =>
      bindThinking(reasoning, thinking, answer),
    bindCalls: (rules: RuleSet, calls: CallRules): Expression =>
      bindOutput(reasoning, style, rules, calls),
  };
}
