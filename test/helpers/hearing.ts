/**
 * Hears answers as a client would, for tests of dialects: cut anywhere, control tokens whole, and what
 * was said put together. It must never know a family.
 */
import type { Dialect, Run, Said, Thinking, Tool } from '../../src/dialect/dialect.js';
import { seeded } from './expression-sentences.js';

/** A call, put together. */
export interface HeardCall {
  readonly name: string;
  readonly id: string | null;
  readonly arguments: string;
  readonly complete: boolean;
  readonly raw: string;
}

/** An answer, put together. */
export interface Heard {
  readonly content: string;
  readonly reasoning: string;
  readonly calls: readonly HeardCall[];
}

/** The tools of most tests. */
export const WEATHER: Tool = {
  name: 'get_weather',
  description: 'Weather of a place',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string' },
      days: { type: 'integer' },
      exact: { type: 'boolean' },
      where: { type: 'object' },
    },
    required: ['city'],
  },
  strict: false,
};
export const CLOCK: Tool = { name: 'clock', description: null, parameters: null, strict: false };
export const TOOLS: readonly Tool[] = [WEATHER, CLOCK];

/** Puts together what was said; throws where it came in an impossible order. */
export function putTogether(said: readonly Said[]): Heard {
  let content = '';
  let reasoning = '';
  const calls: HeardCall[] = [];
  let open: { name: string; id: string | null; arguments: string } | null = null;
  for (const one of said) {
    if (one.type === 'content') content += one.text;
    if (one.type === 'reasoning') reasoning += one.text;
    if (one.type === 'call') {
      if (open !== null) throw new Error('a call began within a call');
      open = { name: one.name, id: one.id, arguments: '' };
    }
    if (one.type === 'arguments') {
      if (open === null) throw new Error('arguments of no call');
      open.arguments += one.text;
    }
    if (one.type === 'called') {
      if (open === null) throw new Error('an end of no call');
      calls.push({ ...open, complete: one.complete, raw: one.raw });
      open = null;
    }
  }
  if (open !== null) throw new Error('a call was not ended');
  return { content, reasoning, calls };
}

/** Runs of a text: what matches `control` is a control token of its own. */
export function runsOf(text: string, control?: RegExp): Run[] {
  if (control === undefined) return [{ text, control: false }];
  const runs: Run[] = [];
  let at = 0;
  for (const match of text.matchAll(control)) {
    if (match.index > at) runs.push({ text: text.slice(at, match.index), control: false });
    runs.push({ text: match[0], control: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) runs.push({ text: text.slice(at), control: false });
  return runs;
}

/** How an answer is to be heard. */
export interface Hearing {
  readonly tools?: readonly Tool[];
  readonly thinking?: Thinking;
  readonly control?: RegExp;
}

/** Hears runs in one way of cutting them. */
function hearRuns(dialect: Dialect, runs: readonly Run[], hearing: Hearing): Heard {
  const listener = dialect.listen({
    tools: hearing.tools ?? TOOLS,
    thinking: hearing.thinking ?? 'none',
  });
  const said = runs.flatMap((run) => [...listener.push(run)]);
  const text = runs.map((run) => run.text).join('');
  const all = [...said, ...listener.end()];
  for (const one of all) {
    if (one.type !== 'content' && one.type !== 'reasoning') continue;
    if (text.slice(one.from, one.from + one.text.length) !== one.text) {
      throw new Error(`${JSON.stringify(one)} is not where it says`);
    }
  }
  return putTogether(all);
}

/** Hears an answer whole, unit by unit and in random cuts: all must be the same. */
export function hear(dialect: Dialect, text: string, hearing: Hearing = {}): Heard {
  const whole = runsOf(text, hearing.control);
  const heard = hearRuns(dialect, whole, hearing);
  const random = seeded(text.length);
  const cuts = [() => 1, () => 1 + Math.floor(random() * 7), () => 1 + Math.floor(random() * 30)];
  for (const length of cuts) {
    const runs = whole.flatMap((run) => {
      if (run.control) return [run];
      const parts: Run[] = [];
      for (let at = 0; at < run.text.length; ) {
        const part = run.text.slice(at, at + length());
        parts.push({ text: part, control: false });
        at += part.length;
      }
      return parts;
    });
    const again = hearRuns(dialect, runs, hearing);
    if (JSON.stringify(again) !== JSON.stringify(heard)) {
      throw new Error(`cut: ${JSON.stringify(again)}\nwhole: ${JSON.stringify(heard)}`);
    }
  }
  return heard;
}
