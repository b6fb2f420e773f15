/**
 * A conversation as a template wants it: roles, calls and tools in the form that this template reads.
 * Runs in the server; pure. What a template has no word for is said in words that it has.
 */
import { createHash } from 'node:crypto';
import type { Tool } from '../dialect/dialect.js';
import type { ChatMessage, ToolCall } from './message.js';

/** What a template is given of a conversation. */
export interface TemplateConversation {
  readonly messages: readonly TemplateMessage[];
  /** OpenAI's form; null where there are none, or where the template does not look at them. */
  readonly tools: readonly Readonly<Record<string, unknown>>[] | null;
}

export type TemplateMessage = Readonly<Record<string, unknown>>;

/** How a call's arguments are handed over: as the object that their JSON text says, or as that text. */
export type ArgumentsForm = 'object' | 'text';

/** The form that a template seems to want; where a render with it fails, the other one may do. */
export function argumentsFormOf(template: string): ArgumentsForm {
  const likesObjects =
    /arguments\s*\|\s*(tojson|items|dictsort|string)|arguments\.items|arguments is|in \w+\.arguments|\.arguments\[/;
  if (likesObjects.test(template) || !template.includes('arguments')) return 'object';
  return /\+\s*[\w.]+(\[['"]\w+['"]\])*(\.arguments|\[['"]arguments['"]\])/.test(template)
    ? 'text'
    : 'object';
}

/** The conversation for this template. */
export function toTemplate(
  {
    messages,
    tools,
  }: { readonly messages: readonly ChatMessage[]; readonly tools: readonly Tool[] },
  template: string,
  form: ArgumentsForm = argumentsFormOf(template),
): TemplateConversation {
  const knowsTools = template.includes('tools');
  const knowsCalls = template.includes('tool_calls');
  const knowsResults = /['"]tool['"]|['"]tool_response['"]|['"]ipython['"]/.test(template);
  const knowsDeveloper = template.includes('developer');
  const idOf = idsFor(template);
  const names = callNames(messages);
  const all = messages.map((message): TemplateMessage => {
    const { role, tool_calls: calls, tool_call_id: id, ...rest } = message;
    if (role === 'tool') {
      const name = rest.name ?? names.get(id ?? '');
      if (!knowsResults) return { role: 'user', content: resultWords(rest.content, name) };
      return {
        role,
        ...rest,
        ...(name !== undefined && { name }),
        ...(id !== undefined && { tool_call_id: idOf(id) }),
      };
    }
    const known = role === 'developer' && !knowsDeveloper ? 'system' : role;
    if (!calls) return { role: known, ...rest };
    if (!knowsCalls) return { role: known, ...rest, content: callWords(rest.content, calls) };
    return { role: known, ...rest, tool_calls: calls.map((call) => handedOver(call, form, idOf)) };
  });
  const offered = tools.map(toOpenAi);
  if (offered.length === 0) return { messages: all, tools: null };
  if (knowsTools) return { messages: all, tools: offered };
  return { messages: withToolWords(all, offered), tools: null };
}

function handedOver(
  { id, function: { name, arguments: text }, type }: ToolCall,
  form: ArgumentsForm,
  idOf: (id: string) => string,
): TemplateMessage {
  const given = form === 'object' ? parsed(text) : text;
  return { ...(id !== undefined && { id: idOf(id) }), type, function: { name, arguments: given } };
}

/** Nobody means arguments that are nested deeper; they are handed over as the text that they are. */
const MAX_ARGUMENT_DEPTH = 64;

function parsed(json: string): unknown {
  if (depthOf(json) > MAX_ARGUMENT_DEPTH) return json;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? value : json;
  } catch {
    return json;
  }
}

/** How deep a JSON text is nested, without its being read; of what is no JSON some number. */
function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let inText = false;
  for (let at = 0; at < json.length; at++) {
    const mark = json[at];
    if (inText && mark === '\\') at++;
    else if (mark === '"') inText = !inText;
    else if (inText) continue;
    else if (mark === '{' || mark === '[') deepest = Math.max(deepest, ++depth);
    else if (mark === '}' || mark === ']') depth--;
  }
  return deepest;
}

/** The names of calls by their ids: results name only the id, some templates want the name. */
function callNames(messages: readonly ChatMessage[]): ReadonlyMap<string, string> {
  const calls = messages.flatMap(({ tool_calls: calls = [] }) => calls);
  return new Map(calls.map(({ id = '', function: { name } }) => [id, name]));
}

/** Whether the template takes only ids as Mistral's tokenizer makes them: nine letters and digits. */
export function wantsShortIds(template: string): boolean {
  return /length\s*!=\s*9|length 9/.test(template);
}

/** Where ids of another service would be refused, each becomes one that is not, always the same one. */
function idsFor(template: string): (id: string) => string {
  if (!wantsShortIds(template)) return (id) => id;
  return (id) => {
    if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
    return createHash('sha256').update(id).digest('hex').slice(0, 9);
  };
}

/** The variables by which families are told not to think, as far as this template looks at them. */
export function withoutThinking(template: string): Readonly<Record<string, boolean>> {
  const names = ['enable_thinking', 'thinking'].filter((name) =>
    new RegExp(`(if|and|or|not|\\() *${name}\\b(?! *=[^=])`).test(template),
  );
  return Object.fromEntries(names.map((name) => [name, false]));
}

function toOpenAi({ name, description, parameters }: Tool): Readonly<Record<string, unknown>> {
  return {
    type: 'function',
    function: {
      name,
      description: description ?? '',
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  };
}

/** For templates without tools: the model is told of them, and how to call them, in the system turn. */
function withToolWords(
  messages: readonly TemplateMessage[],
  tools: readonly Readonly<Record<string, unknown>>[],
): readonly TemplateMessage[] {
  const words = [
    'You can call these functions:',
    ...tools.map((tool) => JSON.stringify(tool.function)),
    'To call one, answer with nothing but JSON of this form: {"name": "function name", "arguments": {"argument name": "value"}}',
  ].join('\n');
  const [first, ...rest] = messages;
  if (first?.role === 'system') {
    return [{ ...first, content: `${String(first.content)}\n\n${words}` }, ...rest];
  }
  return [{ role: 'system', content: words }, ...messages];
}

function callWords(content: string, calls: readonly ToolCall[]): string {
  const words = calls.map(({ function: { name, arguments: text } }) =>
    JSON.stringify({ name, arguments: parsed(text) }),
  );
  return [...(content === '' ? [] : [content]), ...words].join('\n');
}

function resultWords(content: string, name: string | undefined): string {
  return `Result${name === undefined ? '' : ` of ${name}`}:\n${content}`;
}
