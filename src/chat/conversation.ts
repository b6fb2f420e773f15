/**
 * A conversation as a template wants it: roles, calls and tools in the form that this template reads.
 * Runs in the server; pure. What a template has no word for is said in words that it has.
 */
import { createHash } from 'node:crypto';
import { dialectOf } from '../dialect/detect.js';
import type { Tool } from '../dialect/dialect.js';
import { callWriterOf, type PastCall } from '../dialect/write-calls.js';
import type { ChatMessage, ToolCall } from './message.js';
import type { CallForm, ResultForm, TemplateFacts } from './template-facts.js';
import { placeTools } from './tool-place.js';
import { foldSystems, oneCallEach, takingTurns } from './turns.js';

/** What a template is given of a conversation. */
export interface TemplateConversation {
  readonly messages: readonly TemplateMessage[];
  /** OpenAI's form; null where there are none, or where the template does not look at them. */
  readonly tools: readonly Readonly<Record<string, unknown>>[] | null;
  /** Other variables that hold the tools. */
  readonly more: Readonly<Record<string, unknown>>;
}

export type TemplateMessage = Readonly<Record<string, unknown>>;

/** A conversation to hand over. */
export interface Talk {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly Tool[];
  /** Jinja source. */
  readonly template: string;
}

/** A conversation in the form of a template. */
export interface Adapted {
  readonly conversation: TemplateConversation;
  /** Whether text of the client's stands in another message than it was sent in. */
  readonly altered: boolean;
}

/** Whether a conversation is nothing but text, which every template takes as it is. */
export function isPlain({ messages, tools }: Pick<Talk, 'messages' | 'tools'>): boolean {
  return (
    tools.length === 0 &&
    messages.every(
      ({ role, tool_calls: calls, reasoning_content: thought }) =>
        role !== 'tool' && !calls?.length && thought === undefined,
    )
  );
}

/** A plain conversation for this template, without a look at what it does. */
export function asItIs({ messages, template }: Omit<Talk, 'tools'>): TemplateConversation {
  const roleOf = rolesFor(template.includes('developer'));
  const all = messages.map(({ tool_calls: _, ...message }) => ({
    ...message,
    role: roleOf(message),
  }));
  return { messages: all, tools: null, more: {} };
}

/**
 * The conversation for a template of which is known what it does. `mark` is given control texts that
 * are ours to write, and gives what is to stand for them in a message; `inWords`: the tools are told in
 * words, wherever the template has a place for them.
 */
export function toTemplate(
  talk: Talk,
  facts: TemplateFacts,
  { mark, inWords }: { readonly mark: (text: string) => string; readonly inWords: boolean },
): Adapted {
  const { calls } = facts;
  const said = sayAll(talk, facts, { mark, isPlain: inWords });
  const single = calls && !calls.parallel ? oneCallEach(said, calls.emptyContent) : said;
  const told = inWords
    ? placeTools(single, talk.tools, 'words')
    : placeTools(single, talk.tools, talk.tools.length > 0 ? facts.tools : 'words');
  const isEmpty = facts.needsTools && (inWords || talk.tools.length === 0);
  const placed = isEmpty ? placeTools(told.messages, [], facts.tools) : told;
  const folded = foldSystems(placed.messages, facts.systems);
  return {
    conversation: { ...placed, messages: takingTurns(folded, facts) },
    altered: isAltered(talk.messages.map(rolesFor(facts.developer)), facts),
  };
}

/** Whether one of the client's own messages had to go into another, by the roles that there are. */
function isAltered(roles: readonly string[], facts: TemplateFacts): boolean {
  const { systems, alternates, userAfterResult } = facts;
  const isFolded = (role: string, at: number) =>
    role === 'system' && (systems === 'none' || (systems === 'first' && at > 0));
  if (roles.some(isFolded)) return true;
  const rest = roles.filter((role) => role !== 'system');
  return rest.some((role, at) => {
    const before = rest[at - 1];
    const isTwice = role === before && (role === 'user' || role === 'assistant');
    const isLate = !userAfterResult && before === 'tool' && role === 'user';
    return (alternates && isTwice) || isLate;
  });
}

/** The role that a template knows a message by. */
function rolesFor(knowsDeveloper: boolean): (message: ChatMessage) => string {
  return ({ role }) => (role === 'developer' && !knowsDeveloper ? 'system' : role);
}

/** Every message in the template's own form, or in words; `isPlain`: calls are to be plain JSON. */
function sayAll(
  { messages, template }: Talk,
  facts: TemplateFacts,
  {
    mark,
    isPlain: plainly,
  }: { readonly mark: (text: string) => string; readonly isPlain: boolean },
): readonly TemplateMessage[] {
  const { calls: form } = facts;
  const dialect = dialectOf(template);
  // A template may print any role there is; that the model knows this one shows elsewhere.
  const knowsResults =
    form !== null || dialect.hasCalls || /['"](tool|tool_response|ipython)['"]/.test(template);
  const results = knowsResults ? facts.results : null;
  const write = callWriterOf(plainly || facts.tools === 'words' ? 'plain' : dialect.name);
  const roleOf = rolesFor(facts.developer);
  const idOf = idsFor(template);
  // As far as they have been met: an id may come again in a later turn.
  const names = new Map<string, string>();
  return withIds(messages).flatMap((message): readonly TemplateMessage[] => {
    const { tool_calls: calls = [], tool_call_id: id, ...rest } = message;
    const role = roleOf(message);
    if (role === 'tool') {
      const name = rest.name ?? names.get(id ?? '');
      if (!results) return [{ role: 'user', content: resultWords(rest.content, name) }];
      const known = id === undefined ? {} : { tool_call_id: idOf(id) };
      const content = resultOf(rest.content, results);
      return [{ ...rest, role, content, ...(name !== undefined && { name }), ...known }];
    }
    for (const call of calls) names.set(call.id ?? '', call.function.name);
    const { reasoning_content: thought, ...bare } = rest;
    const thinking = thought === undefined ? {} : { [facts.reasoning]: thought };
    if (calls.length === 0) return [{ ...bare, role, ...thinking }];
    if (form === null || !calls.every((call) => isWritable(call, form))) {
      const written = write(calls.map(pastCall), mark);
      const content = rest.content === '' ? written : `${rest.content}\n${written}`;
      return [{ ...bare, role, content, ...thinking }];
    }
    const given = calls.map((call) => handedOver(call, form, idOf));
    return besideCalls({ ...bare, role }, given, { facts, form, thought });
  });
}

/** A message with calls, and what was said and thought beside them where the template takes it. */
function besideCalls(
  message: Omit<ChatMessage, 'role'> & { readonly role: string },
  calls: readonly TemplateMessage[],
  {
    facts,
    form,
    thought,
  }: {
    readonly facts: TemplateFacts;
    readonly form: CallForm;
    readonly thought: string | undefined;
  },
): readonly TemplateMessage[] {
  const { content } = message;
  const key = facts.reasoning;
  const thinking = thought === undefined ? {} : { [key]: thought };
  const empty = { ...message, content: form.emptyContent, tool_calls: calls };
  if (content === '') return [{ ...empty, ...thinking }];
  // All that was written before the call, in the one place there is for it.
  if (thought && !facts.reasoningBesideText)
    return [{ ...empty, [key]: `${thought}\n\n${content}` }];
  if (form.besideText) return [{ ...message, tool_calls: calls, ...thinking }];
  return [message, { ...empty, ...thinking }];
}

function handedOver(
  { id, function: { name, arguments: text }, type }: ToolCall,
  form: CallForm,
  idOf: (id: string) => string,
): TemplateMessage {
  // Some clients send no text where there are no arguments.
  const sent = text.trim() === '' ? '{}' : text;
  const given = form.arguments === 'object' ? parsed(sent) : sent;
  return { ...(id !== undefined && { id: idOf(id) }), type, function: { name, arguments: given } };
}

function pastCall({ function: { name, arguments: text } }: ToolCall): PastCall {
  return { name, arguments: text.trim() === '' ? {} : parsed(text) };
}

/** A result as it is handed over; one whose JSON would not be the same again stays the text that it is. */
function resultOf(content: string, form: ResultForm): unknown {
  if (form === 'text') return content;
  const value = parsed(content);
  if (typeof value === 'string') return content;
  const bare = content.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
  return JSON.stringify(value) === bare ? value : content;
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

/** Whether a template can write the call; where it looks into the arguments, they must be an object. */
function isWritable({ function: { arguments: text } }: ToolCall, form: CallForm): boolean {
  return form.arguments === 'text' || text.trim() === '' || typeof parsed(text) === 'object';
}

/** The same with an id for every call and result: some templates want one, and clients may send none. */
function withIds(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const open: string[] = [];
  let count = 0;
  return messages.map((message) => {
    if (message.role === 'tool') {
      const next = open.shift();
      const id = message.tool_call_id ?? next;
      return id === undefined ? message : { ...message, tool_call_id: id };
    }
    if (!message.tool_calls) return message;
    const calls = message.tool_calls.map((call) => ({ ...call, id: call.id ?? `call_${count++}` }));
    open.splice(0, open.length, ...calls.map(({ id }) => id));
    return { ...message, tool_calls: calls };
  });
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

function resultWords(content: string, name: string | undefined): string {
  return `Result${name === undefined ? '' : ` of ${name}`}:\n${content}`;
}
