/**
 * Who speaks when, where a template is particular about it: systems where it shows them, users and
 * assistants by turns, one call at a time. Runs in the server; pure. No text is ever lost by it.
 */
import type { TemplateMessage } from './conversation.js';
import type { TemplateFacts } from './template-facts.js';

const textOf = ({ content }: TemplateMessage): string =>
  typeof content === 'string' ? content : '';

const joined = (...texts: readonly string[]): string =>
  texts.filter((text) => text !== '').join('\n\n');

const isCalling = ({ tool_calls: calls }: TemplateMessage): boolean =>
  Array.isArray(calls) && calls.length > 0;

/** System messages that the template would not show, in the first system message or the next user turn. */
export function foldSystems(
  messages: readonly TemplateMessage[],
  systems: TemplateFacts['systems'],
): readonly TemplateMessage[] {
  if (systems === 'anywhere') return messages;
  const all: TemplateMessage[] = [];
  let held = '';
  for (const message of messages) {
    const [first] = all;
    if (message.role === 'system') {
      const isLeading = systems === 'first' && all.length <= 1;
      if (isLeading && first === undefined) all.push(message);
      else if (isLeading && first?.role === 'system') {
        all[0] = { ...first, content: joined(textOf(first), textOf(message)) };
      } else held = joined(held, textOf(message));
    } else if (message.role === 'user' && held !== '') {
      all.push({ ...message, content: joined(held, textOf(message)) });
      held = '';
    } else {
      all.push(message);
    }
  }
  if (held !== '') all.push({ role: 'user', content: held });
  return all;
}

/** What the assistant is taken to have said where a user spoke before it answered a result. */
const UNSAID = { role: 'assistant', content: 'OK.' };

/** Turns of one speaker after the other in one, where the template wants them to alternate. */
export function takingTurns(
  messages: readonly TemplateMessage[],
  { alternates, userAfterResult }: Pick<TemplateFacts, 'alternates' | 'userAfterResult'>,
): readonly TemplateMessage[] {
  if (!alternates) return messages;
  const all: TemplateMessage[] = [];
  for (const message of messages) {
    const last = all.at(-1);
    const isSame = last?.role === message.role && ['user', 'assistant'].includes(`${message.role}`);
    if (last && isSame && !isCalling(last) && !isCalling(message)) {
      all[all.length - 1] = { ...last, content: joined(textOf(last), textOf(message)) };
      continue;
    }
    if (!userAfterResult && last?.role === 'tool' && message.role === 'user') all.push(UNSAID);
    all.push(message);
  }
  return all;
}

/**
 * Each call in a message of its own, its result behind it; `emptyContent` is the content of a message
 * that has a call only.
 */
export function oneCallEach(
  messages: readonly TemplateMessage[],
  emptyContent: '' | null,
): readonly TemplateMessage[] {
  const all: TemplateMessage[] = [];
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at];
    const calls: unknown = message?.tool_calls;
    if (message === undefined || !Array.isArray(calls) || calls.length < 2) {
      if (message) all.push(message);
      continue;
    }
    const results: TemplateMessage[] = [];
    for (let next = messages[at + 1]; next?.role === 'tool'; next = messages[at + 1]) {
      results.push(next);
      at++;
    }
    const ids = calls.map(idOf);
    // A result that names no call is that of the one at its own place.
    const placeOf = (result: TemplateMessage, place: number): number => {
      const named = result.tool_call_id === undefined ? -1 : ids.indexOf(result.tool_call_id);
      return named >= 0 ? named : Math.min(place, calls.length - 1);
    };
    for (const [index, call] of calls.entries()) {
      const content = index === 0 ? message.content : emptyContent;
      const rest = index === 0 ? message : { role: message.role };
      const own = results.filter((result, place) => placeOf(result, place) === index);
      all.push({ ...rest, content, tool_calls: [call] }, ...own);
    }
  }
  return all;
}

function idOf(call: unknown): unknown {
  return typeof call === 'object' && call !== null && 'id' in call ? call.id : undefined;
}
