/**
 * Chat templates by @huggingface/jinja, with limits around it: steps, sizes of values and of the
 * output, and the length of a range. A template comes with a downloaded file, so it is not trusted.
 * Pure; it runs in the template worker and must never run on the server's main thread.
 */
import * as jinja from '@huggingface/jinja';

/** A compiled template. */
export interface Program {
  readonly type: string;
}

interface Scope {
  readonly variables: ReadonlyMap<string, unknown>;
  set(name: string, value: unknown): unknown;
}

interface Evaluator {
  run(program: Program): { readonly value: unknown };
  evaluate(statement: unknown, scope: Scope): { readonly value: unknown };
}

/** What we use of the package, whose own declarations name files that NodeNext cannot find. */
interface Jinja {
  readonly Environment: new () => Scope;
  readonly Interpreter: new (scope: Scope) => Evaluator;
  tokenize(
    source: string,
    options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean },
  ): unknown;
  parse(tokens: unknown): Program;
}

// See Jinja: to the compiler the package's exports have no types.
const { Environment, Interpreter, parse, tokenize } = jinja as unknown as Jinja;

/** The longest template source, in UTF-16 units; the longest known one has about 25,000. */
const MAX_TEMPLATE_LENGTH = 256 * 1024;
/** Steps for a short conversation, and more for each message of a long one. */
const BASE_STEPS = 300_000;
const STEPS_PER_MESSAGE = 300;
const MAX_RANGE = 10_000;
/** Room for the template's own text beside what a conversation brings, in UTF-16 units. */
const BASE_LENGTH = 1024 * 1024;

/** What one render may use. Lengths in UTF-16 units or list items. */
export interface RenderLimits {
  readonly steps: number;
  readonly length: number;
}

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
  return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
}

/** Renders a compiled template; throws an Error with the template's or the interpreter's words. */
export function render(
  program: Program,
  variables: Readonly<Record<string, unknown>>,
  limits: RenderLimits,
  now: Date = new Date(),
): string {
  const environment = new Environment();
  for (const [name, value] of globals(now)) environment.set(name, value);
  for (const [name, value] of Object.entries(variables)) {
    if (!environment.variables.has(name)) environment.set(name, value);
  }
  const { value } = new BoundedInterpreter(environment, limits).run(program);
  if (typeof value !== 'string') throw new Error('the template gave no text');
  return value;
}

/** Counts every step and looks at the size of every value. */
class BoundedInterpreter extends Interpreter {
  readonly #limits: RenderLimits;
  #stepsLeft: number;

  constructor(environment: Scope, limits: RenderLimits) {
    super(environment);
    this.#limits = limits;
    this.#stepsLeft = limits.steps;
  }

  override evaluate(statement: unknown, environment: Scope): { readonly value: unknown } {
    this.#stepsLeft -= 1;
    if (this.#stepsLeft < 0) throw new Error('the template took too many steps');
    const result = super.evaluate(statement, environment);
    const { value } = result;
    if ((typeof value === 'string' || Array.isArray(value)) && value.length > this.#limits.length) {
      throw new Error('the template made a value that is too long');
    }
    return result;
  }
}

function globals(now: Date): readonly (readonly [string, unknown])[] {
  return [
    ['true', true],
    ['True', true],
    ['false', false],
    ['False', false],
    ['none', null],
    ['None', null],
    ['range', range],
    ['strftime_now', (format: unknown) => strftime(String(format), now)],
    [
      'raise_exception',
      (message: unknown) => {
        throw new Error(String(message));
      },
    ],
  ];
}

/** Python's range, capped. */
function range(first: number, second?: number, third?: number): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const step = typeof third === 'number' ? third : 1;
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MAX_RANGE)) throw new Error(`range() is limited to ${MAX_RANGE} values`);
  return Array.from({ length: count }, (_, index) => start + index * step);
}

/** Python's strftime in the C locale and local time; an unknown directive stays as it is. */
export function strftime(format: string, now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const month = (style: 'long' | 'short') => now.toLocaleString('en-US', { month: style });
  const weekday = (style: 'long' | 'short') => now.toLocaleString('en-US', { weekday: style });
  const hour12 = now.getHours() % 12 || 12;
  const newYear = new Date(now.getFullYear(), 0, 0, now.getHours(), now.getMinutes());
  const dayOfYear = Math.round((now.getTime() - newYear.getTime()) / 86_400_000);
  const values: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    y: two(now.getFullYear() % 100),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    e: String(now.getDate()).padStart(2, ' '),
    H: two(now.getHours()),
    I: two(hour12),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    p: now.getHours() < 12 ? 'AM' : 'PM',
    B: month('long'),
    b: month('short'),
    A: weekday('long'),
    a: weekday('short'),
    j: String(dayOfYear).padStart(3, '0'),
    '%': '%',
  };
  return format.replace(/%(-?)([A-Za-z%])/g, (whole, bare: string, directive: string) => {
    const value = values[directive];
    if (value === undefined) return whole;
    return bare ? value.replace(/^[0 ]+(?=.)/, '') : value;
  });
}
