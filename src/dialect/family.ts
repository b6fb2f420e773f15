/**
 * A dialect made of two halves that families mix freely: the marks of its reasoning and the style of
 * its calls. Pure, any thread; it must never look at a template.
 */
import type { Expression, RuleSet } from '../grammar/expression.js';
import { bindOutput, bindThinking, type CallStyle } from './binding.js';
import type { CallRules, Dialect, Hearing, Listener, Thinking } from './dialect.js';
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
