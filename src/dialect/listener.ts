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
}

/** A listener that runs a reader over the scene as text arrives. */
export function listenWith(
  tools: readonly Tool[],
  reader: (scene: Scene) => Reading<void>,
): Listener {
  const scene = new Scene(tools);
  const reading = reader(scene);
  let isDone = false;
  const go = (): readonly Said[] => {
    if (!isDone) isDone = reading.next().done === true;
    return scene.drain();
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
    yield* readReasoning(scene, marks.close);
  } else if (marks !== null && thinking === 'possible') {
    input.record();
    yield* input.skipSpace();
    if ((yield* input.takeIf(marks.open)) !== null) {
      scene.isReasoning = true;
      yield* readReasoning(scene, marks.close);
    } else if ((yield* input.takeIf(...leads)) !== null) {
      yield* input.skipSpace();
    } else if (syntax === null) {
      scene.show(input.recorded);
    } else {
      yield* readContent(scene, syntax, true);
      return;
    }
  }
  if (leads.length > 0 && (yield* input.takeIf(...leads)) !== null) yield* input.skipSpace();
  if (syntax !== null) yield* readContent(scene, syntax, false);
  else yield* input.pass([], (spans) => scene.show(spans));
}

/** Reads reasoning up to and with its end, and the white space after it. */
export function* readReasoning(scene: Scene, close: string): Reading<void> {
  const { input } = scene;
  yield* input.skipSpace();
  const held = new HeldEnd((spans) => scene.show(spans, 'reasoning'));
  const stop = yield* input.pass([close], (spans) => held.add(spans));
  if (stop === null) {
    held.release();
    return;
  }
  input.take(stop.length);
  scene.isReasoning = false;
  input.record();
  yield* input.skipSpace();
}

/**
 * Reads content and calls. `hasRecorded`: white space from before is recorded and not yet shown.
 */
function* readContent(scene: Scene, syntax: CallSyntax, hasRecorded: boolean): Reading<void> {
  const { input } = scene;
  const firsts = new Set(syntax.begins.map((begin) => begin.charAt(0)));
  let isBeginning = true;
  if (!hasRecorded) input.record();
  for (;;) {
    yield* input.skipSpace();
    const char = yield* input.peek();
    if (char === '') break;
    const isBare = isBeginning && syntax.isBare && (char === '{' || char === '[');
    const begin = (yield* input.takeIf(...syntax.begins)) ?? (isBare ? '' : null);
    isBeginning = false;
    if (begin !== null) {
      const before = scene.calls;
      const isClean = yield* syntax.read(scene, begin);
      if (scene.isCalling) scene.called(false);
      else if (!isClean || scene.calls === before) scene.show(input.recorded);
      input.record();
      if (scene.calls > before) yield* dropSpace(scene);
      continue;
    }
    scene.show(input.recorded);
    do scene.show(input.take());
    while (input.next !== '' && !isSpace(input.next) && !firsts.has(input.next));
    input.record();
  }
  scene.show(input.recorded);
}

/** White space after a call is the family's, not content. */
function* dropSpace(scene: Scene): Reading<void> {
  yield* scene.input.skipSpace();
  scene.input.record();
}
