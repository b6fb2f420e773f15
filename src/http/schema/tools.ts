/**
 * The tools that a chat request offers, and whether they must be called. Runs in the server; pure.
 */
import { z } from 'zod';
import type { Tool, ToolChoice } from '../../chat/message.js';
import { HoshikageError } from '../../errors.js';
import { isRecord, OFFERED_FUNCTION_FIELDS, TOOL_FIELDS } from './fields.js';
import { because, invalidValue } from './issue.js';
import { listOf } from './list.js';
import { withFields } from './notes.js';

/** OpenAI's limit: tools in one request. */
export const MAX_TOOLS = 128;
/** Function names, as OpenAI has them. */
const TOOL_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_DESCRIPTION = 65_536;
/** Values in the schemas of all tools together: each is looked at several times. */
const MAX_VALUES = 50_000;

const toolName = z
  .string()
  .refine(
    (name) => TOOL_NAME.test(name),
    because(
      '英数字と _ と - だけで、64 文字までにしてください',
      'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -',
    ),
  )
  .meta({ pattern: TOOL_NAME.source, description: 'A-Z a-z 0-9 _ -, 1 - 64 characters' });
const offered = z.looseObject({
  name: toolName,
  description: z.string().max(MAX_DESCRIPTION).nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});
const tool = z.looseObject({
  type: z.literal('function'),
  function: withFields('tool_function', OFFERED_FUNCTION_FIELDS, offered),
});
withFields('tool', TOOL_FIELDS, tool);
/** `tools` as a body may have it. */
export const toolList = z.array(z.unknown()).max(MAX_TOOLS).pipe(listOf(tool)).nullish();

/** `tool_choice` as a body may have it. */
export const toolChoice = z
  .union(
    [
      z.enum(['none', 'auto', 'required']),
      z.looseObject({
        type: z.literal('function'),
        function: z.looseObject({ name: z.string() }),
      }),
    ],
    because(
      'none、auto、required、または関数の指名にしてください',
      'must be none, auto, required or a named function',
    ),
  )
  .nullish();

/**
 * Tools of another kind than functions: OpenAI has them, so they are no wrong values. Looks before the
 * schema does. Code: unsupported_parameter.
 */
export function refuseOtherTools(body: unknown): void {
  if (!isRecord(body)) return;
  if (Array.isArray(body.tools)) {
    const other = body.tools.findIndex(
      (one) => isRecord(one) && typeof one.type === 'string' && one.type !== 'function',
    );
    if (other >= 0) {
      throw new HoshikageError('unsupported_parameter', { param: `tools[${other}].type` });
    }
  }
  const choice = body.tool_choice;
  if (isRecord(choice) && typeof choice.type === 'string' && choice.type !== 'function') {
    throw new HoshikageError('unsupported_parameter', { param: 'tool_choice.type' });
  }
}

/** The tools of a body. Code: invalid_value (a name twice, schemas that are too large together). */
export function toTools(tools: z.output<typeof toolList>): readonly Tool[] {
  const names = new Set<string>();
  let left = MAX_VALUES;
  for (const [index, { function: offered }] of (tools ?? []).entries()) {
    left -= valuesIn(offered.parameters, left);
    if (left >= 0) continue;
    throw invalidValue(`tools[${index}].function.parameters`, {
      ja: `スキーマの値は、全部の関数を合わせて ${MAX_VALUES} 個までです`,
      en: `the schemas of all functions together may have ${MAX_VALUES} values at most`,
    });
  }
  return (tools ?? []).map(({ function: offered }, index) => {
    const { name, description, parameters, strict } = offered;
    if (names.has(name)) {
      throw invalidValue(`tools[${index}].function.name`, {
        ja: '同じ名前が 2 度あります',
        en: 'a name occurs twice',
      });
    }
    names.add(name);
    return {
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? false,
    };
  });
}

/** How many values there are, counted until they are more than `most`. */
function valuesIn(schema: unknown, most: number): number {
  const waiting = [schema];
  let count = 0;
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (++count > most) break;
    if (typeof value !== 'object' || value === null) continue;
    const inner: readonly unknown[] = Object.values(value);
    if (count + waiting.length + inner.length > most) return most + 1;
    for (const one of inner) waiting.push(one);
  }
  return count;
}

/** The choice of a body; `auto` where it says nothing. Code: invalid_value (no such tool). */
export function toToolChoice(
  choice: z.output<typeof toolChoice>,
  tools: readonly Tool[],
): ToolChoice {
  if (typeof choice !== 'object' || choice === null) {
    if (choice === 'required' && tools.length === 0) {
      throw invalidValue('tool_choice', {
        ja: 'tools がないので、呼び出せません',
        en: 'there are no tools to call',
      });
    }
    return { kind: choice ?? 'auto' };
  }
  const { name } = choice.function;
  if (tools.some((one) => one.name === name)) return { kind: 'named', name };
  throw invalidValue('tool_choice.function.name', {
    ja: 'tools にない名前です',
    en: 'no such function in tools',
  });
}
