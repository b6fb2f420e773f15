/**
 * From a conversation to prompt text: the model's own template, and a guard that keeps the text of
 * control tokens inside messages from becoming control tokens. Runs in the server; holds no state.
 * It must never let a message end its own turn, whatever the template does to it.
 *
 * The guard costs nothing where no message holds such a text. Where one does, each occurrence is
 * rendered between two unguessable marks; if the render without the marks is the plain render, the
 * marked places are tokenised without special parsing. If the template changes what it is given, so
 * that it does not come out alike, a zero-width space breaks up the occurrences instead.
 */
import { randomBytes } from 'node:crypto';
import type { Tool } from '../dialect/dialect.js';
import type { ModelFacts, TextSegment } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { unlessGone } from '../resources/gone.js';
import {
  asItIs,
  isPlain,
  type TemplateConversation,
  type TemplateMessage,
  toTemplate,
} from './conversation.js';
import { limitsFor } from './jinja.js';
import type { ChatMessage } from './message.js';
import { isRefusal, type TemplateRenderer } from './template.js';
import { factsOf, type ReasoningKey } from './template-facts.js';

/** For models without a template: ChatML, as the two earlier versions of Hoshikage used for all. */
export const CHATML = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

/** A conversation and what it is for. */
export interface PromptRequest {
  readonly renderer: TemplateRenderer;
  /** Jinja source. */
  readonly template: string;
  readonly model: Pick<ModelFacts, 'bosText' | 'eosText' | 'controlTexts'>;
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly Tool[];
  readonly variables: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** Text to tokenise. */
export interface PromptText {
  readonly segments: readonly TextSegment[];
  /** False where the text begins with BOS already. */
  readonly addSpecial: boolean;
  /** True where messages had to be changed to keep them harmless, or for the template to take them. */
  readonly altered: boolean;
  /** True where the model was told of its tools in words, which ask for calls in plain JSON. */
  readonly toolsInWords: boolean;
  /** The name by which the template is given what was thought. */
  readonly reasoningKey: ReasoningKey;
}

/** Renders a conversation up to the assistant's turn. Codes: template_failed, cancelled, closed. */
export async function buildPrompt(request: PromptRequest): Promise<PromptText> {
  const marks = new OwnMarks();
  const rendered = await renderPlain(request, marks);
  const { conversation, plain, altered } = rendered;
  if (plain === '') throw new HoshikageError('template_failed', { reason: 'it gave no text' });
  const finish = (segments: readonly TextSegment[], isBroken: boolean): PromptText => {
    const shown = segments.map((one) => (one.special ? marks.show(one) : one));
    return toPrompt(request, shown, { ...rendered, altered: altered || isBroken });
  };
  const control = controlPattern(request.model.controlTexts);
  if (control === null || !someText(conversation, (text) => text.search(control) >= 0)) {
    return finish([{ text: plain, special: true }], false);
  }
  const kept = await renderMarked(request, conversation, { control, plain });
  if (kept) return finish(kept, false);
  const broken = mapTexts(conversation, (text) => text.replace(control, breakUp));
  const text = await renderConversation(request, broken);
  return finish([{ text, special: true }], true);
}

/** How deep the arguments of a tool call, or a tool's schema, may be nested. */
const MAX_DEPTH = 100;

/** A render and what it is of. */
interface PlainRender {
  readonly conversation: TemplateConversation;
  readonly plain: string;
  readonly altered: boolean;
  readonly toolsInWords: boolean;
  readonly reasoningKey: ReasoningKey;
}

/**
 * Marks of the model's family that are ours to write in a message: what stands for each while messages
 * are guarded is such that no client can write it.
 */
class OwnMarks {
  readonly #secret = randomBytes(16).toString('hex');
  readonly #texts: string[] = [];

  readonly hide = (text: string): string => {
    if (!this.#texts.includes(text)) this.#texts.push(text);
    return this.#standIn(this.#texts.indexOf(text));
  };

  show({ text, special }: TextSegment): TextSegment {
    const shown = this.#texts.reduce(
      (all, own, index) => all.replaceAll(this.#standIn(index), () => own),
      text,
    );
    return { text: shown, special };
  }

  #standIn(index: number): string {
    return `m${this.#secret}${index}m`;
  }
}

/**
 * The render of a conversation. Nothing but text is rendered as it is, and looked at closer only where
 * the template refuses it or leaves out a system message; what the template does is asked first where
 * there are tools, calls, results or thoughts.
 */
async function renderPlain(request: PromptRequest, marks: OwnMarks): Promise<PlainRender> {
  const { messages, tools = [], template } = request;
  const talk = { messages, tools, template };
  if (isPlain(talk)) {
    const conversation = asItIs(talk);
    const plain = await unlessRefused(renderConversation(request, conversation));
    if (plain !== null && !isSystemLost(conversation.messages, plain)) {
      const reasoningKey = 'reasoning_content';
      return { conversation, plain, altered: false, toolsInWords: false, reasoningKey };
    }
  }
  const facts = await unlessGone(factsOf(request), request.signal);
  const inForm = async (inWords: boolean): Promise<PlainRender> => {
    const adapted = toTemplate(talk, facts, { mark: marks.hide, inWords });
    const plain = await renderConversation(request, adapted.conversation);
    return { ...adapted, plain, toolsInWords: inWords, reasoningKey: facts.reasoning };
  };
  if (tools.length === 0) return inForm(false);
  if (facts.tools !== 'words') {
    const told = await unlessRefused(inForm(false));
    if (told && tools.every(({ name }) => told.plain.includes(name))) return told;
  }
  return inForm(true);
}

/** Whether an instruction does not stand in the render, or only changed. */
function isSystemLost(messages: readonly TemplateMessage[], plain: string): boolean {
  return messages.some(
    ({ role, content }) =>
      (role === 'system' || role === 'developer') && !plain.includes(String(content).trim()),
  );
}

/** Null where the template refused. */
async function unlessRefused<T>(rendering: Promise<T>): Promise<T | null> {
  try {
    return await rendering;
  } catch (error) {
    if (isRefusal(error)) return null;
    throw error;
  }
}

function toPrompt(
  { model }: PromptRequest,
  segments: readonly TextSegment[],
  { altered, toolsInWords, reasoningKey }: Omit<PlainRender, 'conversation' | 'plain'>,
): PromptText {
  const first = segments[0];
  const hasBos =
    model.bosText !== '' && first?.special === true && first.text.startsWith(model.bosText);
  return { segments, addSpecial: !hasBos, altered, toolsInWords, reasoningKey };
}

/** The segments of a render with marks, or null where it differs from the plain one. */
async function renderMarked(
  request: PromptRequest,
  conversation: TemplateConversation,
  { control, plain }: { readonly control: RegExp; readonly plain: string },
): Promise<readonly TextSegment[] | null> {
  const secret = randomBytes(16).toString('hex');
  const [open, close] = [`x${secret}a`, `x${secret}z`];
  const marked = mapTexts(conversation, (text) => text.replace(control, `${open}$&${close}`));
  const text = await unlessRefused(renderConversation(request, marked));
  const bare = (part: string) => part.replaceAll(open, '').replaceAll(close, '');
  if (text === null || bare(text) !== plain) return null;
  // Only a text that still stands between its two marks is one from a message; split() puts those,
  // being captured, at the odd places.
  const parts = text.split(new RegExp(`${open}(${control.source})${close}`));
  return parts
    .map((part, index) => ({ text: bare(part), special: index % 2 === 0 }))
    .filter((segment) => segment.text !== '');
}

async function renderConversation(
  { renderer, template, model, messages: original, variables, signal }: PromptRequest,
  { messages, tools, more }: TemplateConversation,
): Promise<string> {
  const own = { bos_token: model.bosText, eos_token: model.eosText, tools, documents: null };
  const all = { ...variables, ...more, ...own, messages, add_generation_prompt: true };
  let characters = 0;
  someText({ messages, tools, more }, (text) => {
    characters += text.length;
    return false;
  });
  const limits = limitsFor(original.length, characters);
  return renderer.render(template, all, { limits, signal });
}

/** Every text of messages and tools but the roles, which are ours. */
function mapTexts(
  { messages, tools, more }: TemplateConversation,
  change: (text: string) => string,
): TemplateConversation {
  const map = (value: unknown, depth: number): unknown => {
    if (typeof value === 'string') return change(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth > MAX_DEPTH) {
      throw new HoshikageError('template_failed', { reason: 'a message is nested too deeply' });
    }
    if (Array.isArray(value)) return value.map((one) => map(one, depth + 1));
    const rows = Object.entries(value).map(([key, one]) => [change(key), map(one, depth + 1)]);
    return Object.fromEntries(rows);
  };
  const members = (record: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, 0)]));
  return {
    messages: messages.map(({ role, ...message }) => ({ role, ...members(message) })),
    tools: tools?.map(members) ?? null,
    more: members(more),
  };
}

function someText(conversation: TemplateConversation, test: (text: string) => boolean): boolean {
  let found = false;
  mapTexts(conversation, (text) => {
    found ||= test(text);
    return text;
  });
  return found;
}

const patterns = new WeakMap<readonly string[], RegExp | null>();

/** Matches any of the control texts, the longest first; null where there are none. */
function controlPattern(texts: readonly string[]): RegExp | null {
  const known = patterns.get(texts);
  if (known !== undefined) return known;
  const sorted = texts.filter((text) => text !== '').sort((a, b) => b.length - a.length);
  const escaped = sorted.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const pattern = escaped.length > 0 ? new RegExp(escaped.join('|'), 'g') : null;
  patterns.set(texts, pattern);
  return pattern;
}

/** A zero-width space behind the first character: it looks the same and is no control text. */
function breakUp(text: string): string {
  const [first = ''] = text;
  return `${first}\u200b${text.slice(first.length)}`;
}
