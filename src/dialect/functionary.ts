/**
 * Functionary from 3.2 on: each part of an answer begins with whom it is for, `all` or a tool, on a line
 * of its own. Its listener and its grammar. No thread of its own; it must never be given another
 * family's text.
 */
import {
  choice,
  type Expression,
  free,
  type RuleSet,
  repeat,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { argumentsOf, MAX_CALLS } from './binding.js';
import type { CallRules, Dialect, Hearing, Listener } from './dialect.js';
import type { Reading } from './input.js';
import { readArguments } from './json-calls.js';
import { listenWith } from './listener.js';
import type { Scene } from './scene.js';

const MARK = '>>>';
const ALL = 'all\n';

function* readParts(scene: Scene): Reading<void> {
  const { input } = scene;
  const heads = [ALL, ...[...scene.tools.keys()].map((name) => `${name}\n`)];
  let stop: string | null = MARK;
  while (stop !== null) {
    const head: string | null = yield* input.takeIf(...heads);
    const isCall = head !== null && head !== ALL && scene.call(head.trimEnd());
    if (isCall) {
      yield* input.skipSpace();
      scene.called(yield* readArguments(scene, (part) => scene.argue(part)));
      yield* input.skipSpace();
    } else if (head === null) {
      // No part of a known kind: text, with its mark.
      scene.show(input.recorded);
    }
    const stops = scene.tools.size > 0 ? [MARK] : [];
    stop = yield* input.pass(stops, (spans) => scene.show(spans));
    input.record();
    if (stop !== null) input.take(stop.length);
  }
}

function bindCalls(rules: RuleSet, { tools, choice: kind, parallel }: CallRules): Expression {
  const calls = tools.map((tool) => sequence(text(`${tool.name}\n`), argumentsOf(tool, rules)));
  const call = rules.add('calls', () => choice(...calls));
  const max = parallel ? MAX_CALLS - 1 : 0;
  const more = sequence(text(MARK), call);
  const called = sequence(call, repeat(more, 0, max));
  if (kind === 'required') return called;
  // Text may end as the mark begins, so it is the first mark that ends it.
  const words = choice(free(MARK), sequence(until(MARK), called));
  return choice(sequence(text(ALL), words), called);
}

/** The dialect of functionary 3.2. Its prompts end with the mark of the first part. */
export const FUNCTIONARY: Dialect = {
  name: 'functionary',
  hasCalls: true,
  endOfReasoning: '',
  thinkingAfter: () => 'none',
  listen: (hearing: Hearing): Listener => listenWith(hearing, (scene) => readParts(scene)),
  bindAnswer: (answer: Expression): Expression => sequence(text(ALL), answer),
  bindCalls,
};
