/**
 * What an answer is bound to: the form that was asked for, and calls of tools that can be read, with
 * reasoning left free before them. Runs in the server. A request that cannot be bound is refused; it
 * must never be answered unbound.
 */
import { SPACE } from '../dialect/binding.js';
import type { Dialect, Thinking, Tool } from '../dialect/dialect.js';
import { GrammarCache } from '../grammar/cache.js';
import { compileProgram } from '../grammar/compile.js';
import { choice, type Expression, RuleSet, renamed, sequence } from '../grammar/expression.js';
import { parseGbnf } from '../grammar/gbnf.js';
import { jsonObject } from '../grammar/json.js';
import { namingParam } from '../grammar/refusal.js';
import { schemaExpression } from '../grammar/schema.js';
import type { AnswerForm, ChatRequest } from './message.js';

const cache = new GrammarCache();

/** The tools that an answer may call. */
export function toolsFor({ tools, toolChoice }: ChatRequest): readonly Tool[] {
  if (toolChoice.kind === 'none') return [];
  if (toolChoice.kind !== 'named') return tools;
  return tools.filter(({ name }) => name === toolChoice.name);
}

/**
 * The program for a whole answer, or undefined where it is free. Codes: grammar_invalid,
 * schema_unsupported, both with `param`.
 */
export function bindingOf(
  request: ChatRequest,
  dialect: Dialect,
  thinking: Thinking,
): Int32Array | undefined {
  const { form, toolChoice } = request;
  // One that is named is called once, as OpenAI does.
  const parallel = request.parallelToolCalls && toolChoice.kind !== 'named';
  const tools = toolsFor(request);
  if (!form && tools.length === 0) return undefined;
  const isForced = toolChoice.kind === 'required' || toolChoice.kind === 'named';
  // A dialect is its calls and its reasoning.
  const writing = [dialect.name, dialect.endOfReasoning, thinking];
  const key = JSON.stringify([writing, form, tools, isForced, parallel]);
  return cache.of(key, () => {
    const rules = new RuleSet();
    checkStrict(request, tools);
    const calls = (callChoice: 'auto' | 'required'): Expression =>
      namingParam('tools', () =>
        dialect.bindCalls(rules, { tools, choice: callChoice, parallel, thinking }),
      );
    const answer = (): Expression => {
      const bound = form && namingParam(paramOf(form), () => formExpression(form, rules));
      // Many models begin so; their JSON is shown without (hasLeadingSpace).
      const lead = hasLeadingSpace(form) ? [SPACE] : [];
      return dialect.bindAnswer(sequence(...lead, bound ?? { kind: 'free', texts: [] }), thinking);
    };
    let root: Expression;
    if (tools.length === 0) root = answer();
    else if (isForced) root = calls('required');
    else root = form ? choice(answer(), calls('required')) : calls('auto');
    return namingParam(form ? paramOf(form) : 'tools', () => compileProgram(root, rules));
  });
}

/** Whether white space before an answer of this form is let pass, and is not of the answer. */
export function hasLeadingSpace(form: AnswerForm | undefined): boolean {
  return form !== undefined && form.kind !== 'grammar';
}

/** A schema that has to be obeyed and cannot be is refused by its very tool. */
function checkStrict(request: ChatRequest, tools: readonly Tool[]): void {
  // One for all: what work they may take is shared.
  const rules = new RuleSet();
  for (const [index, tool] of request.tools.entries()) {
    if (!tool.strict || tool.parameters === null || !tools.includes(tool)) continue;
    const { parameters } = tool;
    namingParam(`tools[${index}].function.parameters`, () => schemaExpression(parameters, rules));
  }
}

function formExpression(form: AnswerForm, rules: RuleSet): Expression {
  if (form.kind === 'json_object') return jsonObject(rules);
  if (form.kind === 'json_schema') return schemaExpression(form.schema, rules);
  const { root, rules: parsed } = parseGbnf(form.text);
  // No name of ours has a line break, so that none of theirs can be taken for one of ours.
  const nameOf = (name: string): string => `grammar\n${name}`;
  for (const [name, one] of parsed) rules.add(nameOf(name), () => renamed(one, nameOf));
  return renamed(root, nameOf);
}

const PARAMS = {
  json_object: 'response_format',
  json_schema: 'response_format.json_schema.schema',
  grammar: 'grammar',
} as const;

function paramOf({ kind }: AnswerForm): string {
  return PARAMS[kind];
}
