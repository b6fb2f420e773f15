/**
 * Chat templates: the entry to an engine that writes what Python's Jinja2 writes with Hugging Face's
 * settings, inside limits. A template comes with a downloaded file, so it is not trusted. Pure; it runs
 * in the template worker and must never run on the server's main thread.
 */
import type { Program } from './jinja/ast.js';
import { Budget, type RenderLimits } from './jinja/budget.js';
import { globals } from './jinja/globals.js';
import { Interpreter } from './jinja/interpreter.js';
import { parse } from './jinja/parser.js';
import { Scope } from './jinja/scope.js';
import { fromJson } from './jinja/values.js';

export type { Program } from './jinja/ast.js';
export type { RenderLimits } from './jinja/budget.js';
export { strftime } from './jinja/strftime.js';

/** The longest template source, in UTF-16 units; the longest known one has about 25,000. */
const MAX_TEMPLATE_LENGTH = 256 * 1024;
/** Steps for a short conversation, and more for each message of a long one. */
const BASE_STEPS = 300_000;
const STEPS_PER_MESSAGE = 300;
/** Room for the template's own text beside what a conversation brings, in UTF-16 units. */
const BASE_LENGTH = 1024 * 1024;

/** Limits that suit a conversation of this many messages and characters. */
export function limitsFor(messages: number, characters: number): RenderLimits {
  return {
    steps: BASE_STEPS + STEPS_PER_MESSAGE * messages,
    length: BASE_LENGTH + 4 * characters,
  };
}

/** Parses a template; throws an Error with the parser's words. */
export function compile(source: string): Program {
  if (source.length > MAX_TEMPLATE_LENGTH) throw new Error('the template is too long');
  return parse(source);
}

/** Renders a compiled template; throws an Error with the template's or the interpreter's words. */
export function render(
  program: Program,
  variables: Readonly<Record<string, unknown>>,
  limits: RenderLimits,
  now: Date = new Date(),
): string {
  const budget = new Budget(limits);
  const top = new Scope(null);
  // The globals come last, so that no variable takes the place of one.
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) top.set(name, fromJson(value, budget));
  }
  for (const [name, value] of globals(now, budget)) top.set(name, value);
  return new Interpreter(top, budget).run(program.body);
}
