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
import { argumentsFormOf, type TemplateConversation, toTemplate } from './conversation.js';
import { limitsFor } from './jinja.js';
import type { ChatMessage } from './message.js';
import type { TemplateRenderer } from './template.js';

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
  /** True where messages had to be changed to keep them harmless. */
  readonly altered: boolean;
}

/** Renders a conversation up to the assistant's turn. Codes: template_failed, cancelled, closed. */
export async function buildPrompt(request: PromptRequest): Promise<PromptText> {
  const { conversation, plain } = await renderPlain(request);
  if (plain === '') throw new HoshikageError('template_failed', { reason: 'it gave no text' });
  const control = controlPattern(request.model.controlTexts);
  if (control === null || !someText(conversation, (text) => text.search(control) >= 0)) {
    return toPrompt(request, [{ text: plain, special: true }], false);
  }
  const kept = await renderMarked(request, conversation, { control, plain });
  if (kept) return toPrompt(request, kept, false);
  const broken = mapTexts(conversation, (text) => text.replace(control, breakUp));
  const text = await renderConversation(request, broken);
  return toPrompt(request, [{ text, special: true }], true);
}

/** How deep the arguments of a tool call, or a tool's schema, may be nested. */
const MAX_DEPTH = 100;

/** The render, and what it is of: where the template cannot take a call's arguments in one form, in the other. */
async function renderPlain(
  request: PromptRequest,
): Promise<{ readonly conversation: TemplateConversation; readonly plain: string }> {
  const { messages, tools = [], template } = request;
  const wanted = argumentsFormOf(template);
  const hasCalls = messages.some(({ tool_calls: calls }) => calls && calls.length > 0);
  const forms = wanted === 'object' ? (['object', 'text'] as const) : (['text', 'object'] as const);
  for (const form of hasCalls ? forms : [wanted]) {
    const conversation = toTemplate({ messages, tools }, template, form);
    const plain = await unlessFailed(renderConversation(request, conversation), {
      isLast: !hasCalls || form !== wanted,
    });
    if (plain !== null) return { conversation, plain };
  }
  throw new HoshikageError('internal_error');
}

/** Null where the template refused, unless that was the last try. */
async function unlessFailed(
  rendering: Promise<string>,
  { isLast }: { readonly isLast: boolean },
): Promise<string | null> {
  try {
    return await rendering;
  } catch (error) {
    if (!isLast && error instanceof HoshikageError && error.code === 'template_failed') return null;
    throw error;
  }
}

function toPrompt(
  { model }: PromptRequest,
  segments: readonly TextSegment[],
  altered: boolean,
): PromptText {
  const first = segments[0];
  const hasBos =
    model.bosText !== '' && first?.special === true && first.text.startsWith(model.bosText);
  return { segments, addSpecial: !hasBos, altered };
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
  const text = await unlessFailed(renderConversation(request, marked), { isLast: false });
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
  { messages, tools }: TemplateConversation,
): Promise<string> {
  const own = { bos_token: model.bosText, eos_token: model.eosText, tools, documents: null };
  const all = { ...variables, ...own, messages, add_generation_prompt: true };
  let characters = 0;
  someText({ messages, tools }, (text) => {
    characters += text.length;
    return false;
  });
  const limits = limitsFor(original.length, characters);
  return renderer.render(template, all, { limits, signal });
}

/** Every text of messages and tools but the roles, which are ours. */
function mapTexts(
  { messages, tools }: TemplateConversation,
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
