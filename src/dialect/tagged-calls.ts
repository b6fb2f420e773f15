/**
 * Reads calls whose parameters stand between tags, each on its own, and makes their JSON as they come.
 * No thread of its own; it must never know a family by name.
 */
import type { Reading, Span } from './input.js';
import { jsonCalls } from './json-calls.js';
import { escapeJson } from './json-scan.js';
import { literalJson } from './literals.js';
import { bareValue, isJson, isText, MAX_NAME, type Parameter, parametersOf } from './parameters.js';
import type { CallSyntax, Scene } from './scene.js';

/** How such calls are written. */
export interface TaggedMarks {
  /** Around calls; null where a call needs nothing around it. */
  readonly section: { readonly open: string; readonly close: string } | null;
  /** Before a call's name. */
  readonly open: string;
  /** After the name; null where it ends with the first parameter, or with the call. */
  readonly nameEnd: string | null;
  readonly close: string;
  /** Before a parameter's name. */
  readonly key: string;
  /** After it; `isText` where that says how the value is to be read. */
  readonly keyEnds: readonly { readonly text: string; readonly isText: boolean | null }[];
  /** Before its value, where something stands between. */
  readonly value: string;
  readonly valueEnd: string;
  /** Text may stand between these, within its tags. */
  readonly quotes: { readonly open: string; readonly close: string } | null;
  /** A line break at a value's beginning and end is not of the value. */
  readonly isPadded: boolean;
  /** Models forget what ends a value, or what begins a section; the next tag on its line tells. */
  readonly isForgetful?: boolean;
}

/** What ends a value whose own end was forgotten, where these may still come. */
export function strayEnds(marks: TaggedMarks, names: readonly string[]): readonly string[] {
  if (marks.isForgetful !== true) return [];
  const keys = names.flatMap((name) =>
    marks.keyEnds.map((end) => `\n${marks.key}${name}${end.text}`),
  );
  return [...keys, `\n${marks.close}\n${marks.section?.close ?? ''}`];
}

/** The reader of such calls. */
export function taggedCalls(marks: TaggedMarks): CallSyntax {
  const { section, open, close } = marks;
  const none = { begins: [], items: [], header: null, isMap: false, isBare: false };
  // Models that learnt both ways write an object where parameters are due.
  const objects = jsonCalls({ ...none, ends: [section?.close ?? close] });
  const outer = section?.open ?? open;
  return {
    begins: section === null ? [open] : [section.open, open],
    isBare: false,
    *read(scene, begin): Reading<boolean> {
      if (begin === outer) yield* scene.input.skipSpace();
      const isObject = begin === outer && (yield* scene.input.peek()) === '{';
      return yield* isObject ? objects.read(scene, begin) : readSection(scene, marks, begin);
    },
  };
}

function* readSection(scene: Scene, marks: TaggedMarks, begin: string): Reading<boolean> {
  const { input } = scene;
  const texts = marks.section === null ? [] : [marks.open, marks.section.close];
  let mark: string | null = begin;
  let isRead = false;
  while (mark !== null) {
    if (mark === marks.open) {
      if (!(yield* readCall(scene, marks))) return false;
      isRead = true;
    } else if (mark === marks.section?.close) {
      return isRead;
    }
    yield* input.skipSpace();
    // What stood after a call is of that, not of the next one.
    if (isRead) input.record();
    mark = yield* input.takeIf(...texts);
  }
  return isRead;
}

function* readCall(scene: Scene, marks: TaggedMarks): Reading<boolean> {
  const { input } = scene;
  const ends = marks.nameEnd === null ? [marks.key, marks.close] : [marks.nameEnd];
  const name = (yield* input.before(ends, MAX_NAME))?.trim();
  const tool = name === undefined ? undefined : scene.tools.get(name);
  if (tool === undefined || !scene.call(tool.name)) return false;
  if (marks.nameEnd !== null) input.take(marks.nameEnd.length);
  const parameters = parametersOf(tool);
  const keys = new Set<string>();
  for (;;) {
    yield* input.skipSpace();
    const mark = yield* input.takeIf(marks.key, marks.close);
    if (mark === marks.close) break;
    if (mark === null || !(yield* readParameter(scene, marks, parameters, keys))) return false;
  }
  scene.argue(keys.size === 0 ? '{}' : '}');
  scene.called(true);
  return true;
}

function* readParameter(
  scene: Scene,
  marks: TaggedMarks,
  parameters: readonly Parameter[],
  keys: Set<string>,
): Reading<boolean> {
  const { input } = scene;
  const ends = marks.keyEnds.map(({ text }) => text);
  const key = (yield* input.before(ends, MAX_NAME))?.trim();
  const end = yield* input.takeIf(...ends);
  if (key === undefined || end === null || keys.has(key)) return false;
  if (marks.value !== '') {
    yield* input.skipSpace();
    if ((yield* input.takeIf(marks.value)) === null) return false;
  }
  scene.argue(`${keys.size === 0 ? '{' : ', '}${JSON.stringify(key)}: `);
  keys.add(key);
  const kinds = parameters.find(({ name }) => name === key)?.kinds ?? null;
  const left = parameters.filter(({ name }) => !keys.has(name)).map(({ name }) => name);
  const stops = [marks.valueEnd, ...strayEnds(marks, left)];
  const saysText = marks.keyEnds.find(({ text }) => text === end)?.isText ?? null;
  const mayBeText = kinds === null || kinds.has('string');
  if (isText(kinds) || (saysText === true && mayBeText))
    return yield* readText(scene, marks, stops);
  let text = '';
  const stop = yield* input.pass(stops, (spans) => {
    for (const span of spans) text += span.text;
  });
  if (stop === null) return false;
  if (stop === marks.valueEnd) input.take(stop.length);
  const bare = marks.isPadded ? text.replace(/^\n|\n$/g, '') : text;
  // Templates that print values as Python does teach models to write them so.
  const literal = mayBeText || isJson(bare) ? null : literalJson(bare.trim());
  scene.argue(literal ?? bareValue(bare, kinds));
  return true;
}

/** A value that is text, said as it comes. */
function* readText(scene: Scene, marks: TaggedMarks, stops: readonly string[]): Reading<boolean> {
  const { quotes } = marks;
  const isQuoted = quotes !== null && (yield* scene.input.takeIf(quotes.open)) !== null;
  const ends = isQuoted ? [quotes.close + marks.valueEnd] : stops;
  let isFirst = true;
  let held = '';
  scene.argue('"');
  const stop = yield* scene.input.pass(ends, (spans: readonly Span[]) => {
    for (const span of spans) {
      let text = span.text;
      if (isFirst && marks.isPadded && text.startsWith('\n')) text = text.slice(1);
      isFirst = false;
      text = held + text;
      held = marks.isPadded && text.endsWith('\n') ? '\n' : '';
      scene.argue(escapeJson(held === '' ? text : text.slice(0, -1)));
    }
  });
  if (stop === null) return false;
  if (isQuoted || stop === marks.valueEnd) scene.input.take(stop.length);
  scene.argue('"');
  return true;
}
