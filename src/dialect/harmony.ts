/**
 * Harmony, the way gpt-oss writes: messages with a header that says channel and recipient. Its listener
 * and its grammar. No thread of its own; it must never be given another family's text.
 */
import {
  choice,
  type Expression,
  free,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { argumentsOf, SPACE } from './binding.js';
import type { CallRules, Dialect, Hearing, Listener, Thinking, Tool } from './dialect.js';
import type { Reading } from './input.js';
import { readArguments } from './json-calls.js';
import { listenWith } from './listener.js';
import type { Scene } from './scene.js';

const START = '<|start|>';
const CHANNEL = '<|channel|>';
const MESSAGE = '<|message|>';
const END = '<|end|>';
/** Next message of the same answer. */
const NEXT = `${START}assistant`;
const FINAL = `${CHANNEL}final${MESSAGE}`;
const ANALYSIS = `${CHANNEL}analysis${MESSAGE}`;
const COMMENTARY = `${CHANNEL}commentary`;
/** What ends a message; the second and third end the answer. */
const STOPS = [END, '<|call|>', '<|return|>', START];
const HEADS = [START, CHANNEL, MESSAGE, 'to=', '<|constrain|>'];
const MAX_HEADER = 300;
const MAX_ANALYSES = 8;

/** Whether the prompt stops before a header, in reasoning, or in another message. */
function thinkingAfter(prompt: string): Thinking {
  const tail = prompt.slice(prompt.lastIndexOf(START));
  if (!tail.includes(MESSAGE) || tail.includes(END)) return 'possible';
  return tail.includes(ANALYSIS) ? 'open' : 'none';
}

function* readHarmony(scene: Scene, thinking: Thinking): Reading<void> {
  const { input } = scene;
  if (thinking === 'open') yield* readBody(scene, 'reasoning');
  for (;;) {
    input.record();
    yield* input.skipSpace();
    if ((yield* input.peek()) === '') break;
    if ((yield* input.match(HEADS)) !== null) {
      yield* readMessage(scene);
    } else {
      scene.show(input.recorded);
      yield* readBody(scene, 'content');
    }
  }
  scene.show(input.recorded);
}

/** A message from its header on. */
function* readMessage(scene: Scene): Reading<void> {
  const { input } = scene;
  const header = yield* input.before([MESSAGE], MAX_HEADER);
  if (header === null) {
    // A header that the end of the answer cuts says nothing to anybody.
    if (!input.ended) scene.show(input.recorded);
    input.record();
    return;
  }
  input.take(MESSAGE.length);
  const name = /\bto=(?:functions\.)?([\w.-]+)/.exec(header)?.[1];
  if (name !== undefined && scene.tools.size > 0) {
    if (!scene.call(name)) scene.show(input.recorded);
    else if (yield* readCallBody(scene)) return;
    yield* readBody(scene, 'content');
    return;
  }
  const isAnalysis = /<\|channel\|>\s*analysis/.test(header);
  yield* readBody(scene, isAnalysis ? 'reasoning' : 'content');
}

/** Arguments and the end of their message: false where more follows than they. */
function* readCallBody(scene: Scene): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  const isRead = yield* readArguments(scene, (part) => scene.argue(part));
  scene.called(isRead);
  yield* input.skipSpace();
  if ((yield* input.match(STOPS)) === null && (yield* input.peek()) !== '') return false;
  yield* takeStop(scene);
  return true;
}

/** Text up to the end of its message. */
function* readBody(scene: Scene, type: 'content' | 'reasoning'): Reading<void> {
  scene.isReasoning = type === 'reasoning';
  yield* scene.input.pass(STOPS, (spans) => scene.show(spans, type));
  yield* takeStop(scene);
  scene.isReasoning = false;
}

/** Takes the end of a message; the beginning of another is left for its reader. */
function* takeStop(scene: Scene): Reading<void> {
  const stop = yield* scene.input.match(STOPS);
  if (stop !== null && stop !== START) scene.input.take(stop.length);
  scene.input.record();
}

const ANALYSES = repeat(sequence(text(ANALYSIS), until(END), text(NEXT)), 0, MAX_ANALYSES);

/** Reasoning, as there may be, up to where the header of an answer stands. */
function bindThinking(thinking: Thinking, rest: Expression): Expression {
  const begun = thinking === 'open' ? [until(END), text(NEXT)] : [];
  return sequence(...begun, ANALYSES, rest);
}

/** The kind of content, as models write it. */
const KIND = choice(...['', ' json', ' <|constrain|>json', '<|constrain|>json', ' code'].map(text));
const CALL_CHANNEL = sequence(text(CHANNEL), choice(text('commentary'), text('analysis')));

/** A call: its recipient stands in the channel's header, or in the role's. */
function bindCall(rules: RuleSet, tool: Tool): Expression {
  const to = rules.add(`to-${tool.name}`, () => text(` to=functions.${tool.name}`));
  const header = choice(sequence(CALL_CHANNEL, to), sequence(to, CALL_CHANNEL));
  return sequence(header, KIND, text(MESSAGE), SPACE, argumentsOf(tool, rules), SPACE);
}

function bindCalls(rules: RuleSet, { tools, choice: kind, thinking }: CallRules): Expression {
  const calls = tools.map((tool) => sequence(bindCall(rules, tool), optional(text('<|call|>'))));
  const call = rules.add('calls', () => choice(...calls));
  const words = free(...STOPS);
  if (thinking === 'none') {
    const next = sequence(text(`${END}${NEXT}`), call);
    return kind === 'required' ? next : sequence(words, optional(next));
  }
  if (kind === 'required') return bindThinking(thinking, call);
  const preamble = sequence(text(`${COMMENTARY}${MESSAGE}`), until(END), text(NEXT));
  const called = sequence(optional(preamble), call);
  return bindThinking(thinking, choice(sequence(text(FINAL), words), called));
}

/** The dialect of gpt-oss. It writes one call in an answer. */
export const HARMONY: Dialect = {
  name: 'harmony',
  hasCalls: true,
  endOfReasoning: `${END}${NEXT}${FINAL}`,
  thinkingAfter,
  listen: (hearing: Hearing): Listener =>
    listenWith(hearing, (scene) => readHarmony(scene, hearing.thinking)),
  bindAnswer: (answer: Expression, thinking: Thinking): Expression =>
    thinking === 'none' ? answer : bindThinking(thinking, sequence(text(FINAL), answer)),
  bindCalls,
};
