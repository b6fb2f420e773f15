/**
 * Where a template is told of the tools that there are, and what it is told there. Runs in the server;
 * pure. Whatever the place, the model must be able to learn of every tool from it.
 */
import type { Tool } from '../dialect/dialect.js';
import type { TemplateConversation, TemplateMessage } from './conversation.js';

/**
 * Where a template looks for tools: its variable `tools` (all that Hugging Face documents), the variable
 * `xml_tools` (SmolLM3), `functions` as JSON text (Firefunction), `tools` of its system message as JSON
 * text (Phi-4-mini). `words`: nowhere, so that the model is told in the system message's own text.
 */
export type ToolPlace = 'tools' | 'led' | 'xml_tools' | 'functions' | 'system' | 'words';

/**
 * The places that are tried, the best first. `led` is `tools` of templates that show them only behind a
 * system message.
 */
export const TOOL_PLACES: readonly ToolPlace[] = [
  'tools',
  'led',
  'xml_tools',
  'system',
  'functions',
];

/** A conversation with its tools at this place. */
export function placeTools(
  messages: readonly TemplateMessage[],
  tools: readonly Tool[],
  place: ToolPlace,
): TemplateConversation {
  const functions = tools.map(functionOf);
  const wrapped = functions.map((one) => ({ type: 'function', function: one }));
  switch (place) {
    case 'tools':
      return { messages, tools: wrapped, more: {} };
    case 'led':
      return { messages: led(messages), tools: wrapped, more: {} };
    case 'xml_tools':
      return { messages, tools: null, more: { xml_tools: functions } };
    case 'functions': {
      const datetime = new Date().toISOString().slice(0, 10);
      return { messages, tools: null, more: { functions: JSON.stringify(functions), datetime } };
    }
    case 'system': {
      const [first, ...rest] = led(messages);
      const told = { ...first, tools: JSON.stringify(functions) };
      return { messages: [told, ...rest], tools: null, more: {} };
    }
    case 'words':
      return { messages: withWords(messages, functions), tools: null, more: {} };
  }
}

/** The messages behind a system message, an empty one where there is none. */
function led(messages: readonly TemplateMessage[]): readonly TemplateMessage[] {
  return messages[0]?.role === 'system' ? messages : [{ role: 'system', content: '' }, ...messages];
}

function functionOf({ name, description, parameters }: Tool): Readonly<Record<string, unknown>> {
  // Templates go through the properties without asking whether there are any.
  const isWhole = parameters !== null && 'properties' in parameters;
  return {
    name,
    description: description ?? '',
    parameters: isWhole ? parameters : { type: 'object', properties: {}, ...parameters },
  };
}

/** The model is told of the tools, and how to call them, in the system turn. */
function withWords(
  messages: readonly TemplateMessage[],
  functions: readonly Readonly<Record<string, unknown>>[],
): readonly TemplateMessage[] {
  if (functions.length === 0) return messages;
  const words = [
    'You can call these functions:',
    ...functions.map((one) => JSON.stringify(one)),
    'To call one, answer with nothing but JSON of this form: {"name": "function name", "arguments": {"argument name": "value"}}',
  ].join('\n');
  const [first, ...rest] = messages;
  if (first?.role === 'system') {
    return [{ ...first, content: `${String(first.content)}\n\n${words}` }, ...rest];
  }
  return [{ role: 'system', content: words }, ...messages];
}
