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
import type { ModelFacts, TextSegment } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
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
  const messages = toTemplateMessages(request.messages, request.template);
  const control = controlPattern(request.model.controlTexts);
  const plain = await renderMessages(request, messages);
  if (plain === '') throw new HoshikageError('template_failed', { reason: 'it gave no text' });
  if (control === null || !someText(messages, (text) => text.search(control) >= 0)) {
    return toPrompt(request, [{ text: plain, special: true }], false);
  }
  const kept = await renderMarked(request, messages, { control, plain });
  if (kept) return toPrompt(request, kept, false);
  const broken = mapTexts(messages, (text) => text.replace(control, breakUp));
  const text = await renderMessages(request, broken);
  return toPrompt(request, [{ text, special: true }], true);
}

/** How deep the arguments of a tool call may be nested. */
const MAX_DEPTH = 100;

type TemplateMessage = Readonly<Record<string, unknown>>;

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
  messages: readonly TemplateMessage[],
  { control, plain }: { readonly control: RegExp; readonly plain: string },
): Promise<readonly TextSegment[] | null> {
  const secret = randomBytes(16).toString('hex');
  const [open, close] = [`x${secret}a`, `x${secret}z`];
  const marked = mapTexts(messages, (text) => text.replace(control, `${open}$&${close}`));
  const text = await renderMessages(request, marked).catch((error: unknown) => {
    if (error instanceof HoshikageError && error.code === 'template_failed') return null;
    throw error;
  });
  const bare = (part: string) => part.replaceAll(open, '').replaceAll(close, '');
  if (text === null || bare(text) !== plain) return null;
  // Only a text that still stands between its two marks is one from a message; split() puts those,
  // being captured, at the odd places.
  const parts = text.split(new RegExp(`${open}(${control.source})${close}`));
  return parts
    .map((part, index) => ({ text: bare(part), special: index % 2 === 0 }))
    .filter((segment) => segment.text !== '');
}

async function renderMessages(
  { renderer, template, model, messages: original, variables, signal }: PromptRequest,
  messages: readonly TemplateMessage[],
): Promise<string> {
  const own = { bos_token: model.bosText, eos_token: model.eosText, tools: null, documents: null };
  const all = { ...variables, ...own, messages, add_generation_prompt: true };
  let characters = 0;
  someText(messages, (text) => {
    characters += text.length;
    return false;
  });
  const limits = limitsFor(original.length, characters);
  return renderer.render(template, all, { limits, signal });
}

/**
 * Messages as templates know them: `developer` is `system` where the template has no word for it,
 * and a call's arguments are the object that their JSON text says.
 */
function toTemplateMessages(
  messages: readonly ChatMessage[],
  template: string,
): readonly TemplateMessage[] {
  const knowsDeveloper = template.includes('developer');
  return messages.map(({ role, tool_calls: calls, ...rest }) => ({
    role: role === 'developer' && !knowsDeveloper ? 'system' : role,
    ...rest,
    ...(calls ? { tool_calls: calls.map(withParsedArguments) } : {}),
  }));
}

function withParsedArguments(call: NonNullable<ChatMessage['tool_calls']>[number]): unknown {
  return { ...call, function: { ...call.function, arguments: parsed(call.function.arguments) } };
}

function parsed(json: string): unknown {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? value : json;
  } catch {
    return json;
  }
}

/** Every text of the messages but the role, which is one of ours. */
function mapTexts(
  messages: readonly TemplateMessage[],
  change: (text: string) => string,
): readonly TemplateMessage[] {
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
  return messages.map(({ role, ...message }) => ({
    role,
    ...Object.fromEntries(Object.entries(message).map(([key, value]) => [key, map(value, 0)])),
  }));
}

function someText(messages: readonly TemplateMessage[], test: (text: string) => boolean): boolean {
  let found = false;
  mapTexts(messages, (text) => {
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
