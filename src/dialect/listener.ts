/**
 * Reads an answer in the order in which most families write it: reasoning between marks, then content
 * with calls in it. No thread of its own; it must never know how a family's calls look inside.
 */
import type { Listener, Run, Said, Thinking, Tool } from './dialect.js';
import { isSpace, type Reading } from './input.js';
import { type CallSyntax, HeldEnd, Scene } from './scene.js';

/** What stands around reasoning. */
export interface ThinkMarks {
  readonly open: string;
  readonly close: string;
  /** What the family may write between reasoning and answer: it is not shown. */
  readonly leads?: readonly string[];
  /** What it may write at an answer's very end: it is not shown there. */
  readonly trail?: string;
}

/** A listener that runs a reader over the scene as text arrives. */
export function listenWith(
  { tools, trims = false }: { readonly tools: readonly Tool[]; readonly trims?: boolean },
  reader: (scene: Scene) => Reading<void>,
): Listener {
  const scene = new Scene(tools);
  const reading = reader(scene);
  let isDone = false;
  let isBegun = !trims;
  const go = (): readonly Said[] => {
    if (!isDone) isDone = reading.next().done === true;
    const said = scene.drain();
    return isBegun ? said : said.flatMap(trimmed);
  };
  const trimmed = (one: Said): readonly Said[] => {
    if (isBegun || one.type !== 'content') return [one];
    const text = one.text.trimStart();
    isBegun = text !== '';
    return isBegun ? [{ ...one, text, from: one.from + one.text.length - text.length }] : [];
  };
  // Runs up to where it needs text, so that `isReasoning` is right before the first.
  go();
  return {
    push(run: Run): readonly Said[] {
      scene.input.push(run);
      return go();
    },
    end(): readonly Said[] {
      scene.input.ended = true;
      return go();
    },
    get isReasoning(): boolean {
      return scene.isReasoning;
    },
  };
}

/** Reads reasoning, then content with calls; `syntax` null: there are none to look for. */
export function* readAnswer(
  scene: Scene,
  marks: ThinkMarks | null,
  thinking: Thinking,
  syntax: CallSyntax | null,
): Reading<void> {
  const { input } = scene;
  const leads = marks?.leads ?? [];
  if (marks !== null && thinking === 'open') {
    scene.isReasoning = true;
    if (yield* readReasoning(scene, marks.close, syntax)) return;
  } else if (marks !== null && thinking === 'possible') {
    input.record();
    yield* input.skipSpace();
    const mark = yield* input.takeIf(marks.open, marks.close);
    if (mark === marks.open) {
      scene.isReasoning = true;
      if (yield* readReasoning(scene, marks.close, syntax)) return;
    } else if (mark === marks.close) {
      // No reasoning at all, as some templates write it.
      yield* input.skipSpace();
    } else if ((yield* input.takeIf(...leads)) !== null) {
      yield* input.skipSpace();
    } else {
      yield* readContent(scene, syntax, marks.trail, true);
      return;
    }
  }
  if (leads.length > 0 && (yield* input.takeIf(...leads)) !== null) yield* input.skipSpace();
  yield* readContent(scene, syntax, marks?.trail, false);
}

/**
 * Reads reasoning up to and with its end, and the white space after it. Small models forget to end it
 * before they call: true where it ended with a whole call, and the answer with that.
 */
function* readReasoning(scene: Scene, close: string, syntax: CallSyntax | null): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  const held = new HeldEnd((spans) => scene.show(spans, 'reasoning'));
  const begins = syntax?.begins ?? [];
  for (;;) {
    const stop = yield* input.pass([close, ...begins], (spans) => held.add(spans));
    if (stop === null) {
      held.release();
      return false;
    }
    if (stop === close || syntax === null) break;
    input.record();
    if (yield* scene.attempt(readLastCalls(scene, syntax), close)) {
      scene.isReasoning = false;
      return true;
    }
    held.add(input.take(stop.length));
  }
  input.take(close.length);
  scene.isReasoning = false;
  input.record();
  yield* input.skipSpace();
  return false;
}

/** Whole calls and then the end of the answer. */
function* readLastCalls(scene: Scene, syntax: CallSyntax): Reading<boolean> {
  const { input } = scene;
  while ((yield* input.peek()) !== '') {
    const begin = yield* input.takeIf(...syntax.begins);
    if (begin === null || !(yield* syntax.read(scene, begin))) return false;
    yield* input.skipSpace();
  }
  return true;
}

/**
 * Reads content and calls. `hasRecorded`: white space from before is recorded and not yet shown.
 */
function* readContent(
  scene: Scene,
  syntax: CallSyntax | null,
  trail: string | undefined,
  hasRecorded: boolean,
): Reading<void> {
  const { input } = scene;
  const blocks = syntax?.blocks ?? [];
  const begins = [...(syntax?.begins ?? []), ...blocks];
  const ends = trail === undefined ? [] : [trail];
  const firsts = new Set([...begins, ...ends].map((mark) => mark.charAt(0)));
  let mayBeBare = syntax?.isBare === true;
  if (!hasRecorded) input.record();
  if (firsts.size === 0 && !mayBeBare) {
    scene.show(input.recorded);
    yield* input.pass([], (spans) => scene.show(spans));
    return;
  }
  for (;;) {
    yield* input.skipSpace();
    const char = yield* input.peek();
    if (char === '') break;
    const isBare = mayBeBare && (char === '{' || char === '[');
    const mark = yield* input.match([...begins, ...ends]);
    // What may be content after all is read from its bracket on.
    const bracket = mark !== null && blocks.includes(mark) ? mark.search(/[[{]$/) : -1;
    if (mark !== null) input.take(bracket < 0 ? mark.length : bracket);
    mayBeBare = false;
    if (mark !== null && mark === trail) {
      yield* input.skipSpace();
      if ((yield* input.peek()) === '') return;
      scene.show(input.recorded);
      input.record();
    } else if (syntax !== null && (mark !== null || isBare)) {
      yield* readCalls(scene, syntax, mark ?? '');
    } else {
      scene.show(input.recorded);
      do scene.show(input.take());
      while (input.next !== '' && !isSpace(input.next) && !firsts.has(input.next));
      input.record();
    }
  }
  scene.show(input.recorded);
}

/** Reads calls after their beginning; what is none of them is shown. */
function* readCalls(scene: Scene, syntax: CallSyntax, begin: string): Reading<void> {
  const { input } = scene;
  const before = scene.calls;
  const isClean = yield* syntax.read(scene, begin);
  if (scene.isCalling) scene.called(false);
  else if (!isClean || scene.calls === before) scene.show(input.recorded);
  input.record();
  if (scene.calls > before) yield* dropSpace(scene);
}

/** White space after a call is the family's, not content. */
function* dropSpace(scene: Scene): Reading<void> {
  yield* scene.input.skipSpace();
  scene.input.record();
}
