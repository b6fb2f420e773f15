/**
 * Reads calls whose arguments are written as JSON: objects or arrays with a name in them, or a name
 * before each, between a family's marks. No thread of its own; it must never know a family by name.
 */
import type { Reading } from './input.js';
import { escapeJson, JsonScanner } from './json-scan.js';
import type { CallSyntax, Scene } from './scene.js';

/** How calls with JSON arguments are written, for reading. */
export interface JsonMarks {
  /** Texts that begin a block of calls. */
  readonly begins: readonly string[];
  /** Texts that may stand before each call in a block. */
  readonly items: readonly string[];
  /** Texts that may stand after a call or a block. */
  readonly ends: readonly string[];
  /** What stands between a mark and arguments: groups `name` and perhaps `id`. Null: names are inside. */
  readonly header: RegExp | null;
  /** Objects are `{"name": arguments}`. */
  readonly isMap: boolean;
  readonly isBare: boolean;
}

/** How deep a call may lie in objects that hold it. */
const MAX_DEPTH = 4;

/** The longest text before the arguments that is looked at for a name. */
const MAX_HEADER = 300;

/** Keys of a call's name and of its arguments, and those that may stand beside them. */
export const NAME_KEYS = ['name', 'tool_name', 'function_name'];
export const ARGUMENT_KEYS = ['arguments', 'parameters', 'args'];
export const OTHER_KEYS = ['id', 'tool_call_id', 'type', 'function', 'tool_calls'];

/** The reader of such calls. */
export function jsonCalls(marks: JsonMarks): CallSyntax {
  return {
    begins: marks.begins,
    isBare: marks.isBare,
    read: (scene, begin) => readBlock(scene, marks, begin),
  };
}

function* readBlock(scene: Scene, marks: JsonMarks, begin: string): Reading<boolean> {
  const { input } = scene;
  const isBare = begin === '';
  if (begin.endsWith('[')) return yield* readArray(scene, marks, isBare);
  let mayBegin = true;
  let isRead = false;
  let isSeparated = false;
  /** Nothing but the end of a call was read since. */
  let isAfter = false;
  for (;;) {
    yield* input.skipSpace();
    // What stood after a call is of that, not of the next one.
    if (isAfter) input.record();
    const mark = isBare ? null : yield* input.takeIf(...marks.items, ...marks.ends);
    if (mark !== null) {
      isAfter &&= marks.ends.includes(mark);
      mayBegin = marks.items.includes(mark) || (mayBegin && !isRead);
      continue;
    }
    const char = yield* input.peek();
    if (char === '[' && mayBegin) {
      input.take();
      if (!(yield* readArray(scene, marks, isBare))) return false;
    } else if (char === '{') {
      if (!(yield* readObject(scene, marks, isBare))) return false;
    } else if (isRead && !isSeparated && (char === ',' || char === ';')) {
      input.take();
      isSeparated = true;
      isAfter = false;
      continue;
    } else if (isRead && char === '}' && marks.ends.length > 0) {
      // One brace too many is the commonest slip; the mark that ends the call shows what is meant.
      input.take();
      continue;
    } else if (mayBegin && marks.header !== null && char !== '') {
      if (!(yield* readNamed(scene, marks, marks.header))) return false;
    } else {
      return isRead && !isSeparated;
    }
    isRead = true;
    isAfter = true;
    isSeparated = false;
    mayBegin = false;
  }
}

/** A name, marks, and arguments. */
function* readNamed(scene: Scene, marks: JsonMarks, header: RegExp): Reading<boolean> {
  const stops = ['{', ...marks.begins, ...marks.items];
  const text = yield* scene.input.before(stops, MAX_HEADER);
  const groups = text === null ? undefined : header.exec(text)?.groups;
  if (groups?.name === undefined || !scene.call(groups.name, groups.id ?? null)) return false;
  if (!(yield* readArguments(scene, (part) => scene.argue(part)))) return false;
  scene.called(true);
  return true;
}

/** Calls and `]`, after `[`. */
function* readArray(scene: Scene, marks: JsonMarks, isBare: boolean, depth = 0): Reading<boolean> {
  const { input } = scene;
  for (;;) {
    yield* input.skipSpace();
    if ((yield* input.peek()) !== '{' || !(yield* readObject(scene, marks, isBare, depth)))
      return false;
    yield* input.skipSpace();
    const char = yield* input.peek();
    if (char === '') return true;
    if (char !== ',' && char !== ']') return false;
    input.take();
    if (char === ']') return true;
  }
}

/** An object that is a call, or that holds one or several. */
function* readObject(scene: Scene, marks: JsonMarks, isBare: boolean, depth = 0): Reading<boolean> {
  const { input } = scene;
  const call = new PendingCall(scene);
  if (depth > MAX_DEPTH) return false;
  input.take();
  for (;;) {
    yield* input.skipSpace();
    if ((yield* input.peek()) === '}') break;
    const key = yield* readString(scene);
    yield* input.skipSpace();
    if (key === null || (yield* input.takeIf(':')) === null) return false;
    yield* input.skipSpace();
    if (!(yield* readMember(call, scene, marks, { key, isBare, depth }))) return false;
    yield* input.skipSpace();
    const after = yield* input.peek();
    if (after === '}') break;
    if (after !== ',') return false;
    input.take();
  }
  input.take();
  return call.end();
}

/** The value of a key of a call, or of what holds calls. */
function* readMember(
  call: PendingCall,
  scene: Scene,
  marks: JsonMarks,
  at: { readonly key: string; readonly isBare: boolean; readonly depth: number },
): Reading<boolean> {
  const { key, isBare, depth } = at;
  const char = yield* scene.input.peek();
  if (marks.isMap) return call.name(key) && (yield* call.arguments());
  if (NAME_KEYS.includes(key)) return call.name(yield* readString(scene));
  if (ARGUMENT_KEYS.includes(key)) return yield* call.arguments();
  if (key === 'function' && char === '{') {
    call.isHolder = true;
    return yield* readObject(scene, marks, isBare, depth + 1);
  }
  if (key === 'tool_calls' && char === '[') {
    call.isHolder = true;
    scene.input.take();
    return yield* readArray(scene, marks, isBare, depth + 1);
  }
  if (key === 'id' && char === '"') {
    call.id = yield* readString(scene);
    return call.id !== null;
  }
  // A bare object with other keys is an answer in JSON, which must not wait for its end.
  if (isBare && !call.isNamed && !OTHER_KEYS.includes(key)) return false;
  return yield* readValue(scene, () => undefined);
}

/** A call whose name and arguments may come in either order. */
class PendingCall {
  id: string | null = null;
  isNamed = false;
  /** Its calls lie within it. */
  isHolder = false;
  readonly #scene: Scene;
  #arguments: string | null = null;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  name(name: string | null): boolean {
    if (name === null || this.isNamed || !this.#scene.call(name, this.id)) return false;
    this.isNamed = true;
    this.#scene.argue(this.#arguments ?? '');
    return true;
  }

  *arguments(): Reading<boolean> {
    if (this.#arguments !== null) return false;
    let text = '';
    const isRead = yield* readArguments(this.#scene, (part) => {
      text += part;
      if (this.isNamed) this.#scene.argue(part);
    });
    this.#arguments = text;
    return isRead;
  }

  end(): boolean {
    if (!this.isNamed) return this.isHolder;
    if (this.#arguments === null) this.#scene.argue('{}');
    this.#scene.called(true);
    return true;
  }
}

/** Arguments: a JSON object, null for none, or a string that holds an object. */
export function* readArguments(scene: Scene, say: (part: string) => void): Reading<boolean> {
  const char = yield* scene.input.peek();
  if (char === '{') return yield* readValue(scene, say);
  if (char === 'n') {
    let word = '';
    if (!(yield* readValue(scene, (part) => (word += part)))) return false;
    say('{}');
    return word === 'null';
  }
  const text = char === '"' ? yield* readString(scene) : null;
  if (text === null) return false;
  if (text.trim() !== '' && !isObject(text)) return false;
  say(text.trim() === '' ? '{}' : text.trim());
  return true;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** A JSON string's text; null where none comes, not taken, or where it is broken. */
export function* readString(scene: Scene): Reading<string | null> {
  if ((yield* scene.input.peek()) !== '"') return null;
  let text = '';
  if (!(yield* readValue(scene, (part) => (text += part)))) return null;
  const value: unknown = JSON.parse(text);
  return typeof value === 'string' ? value : null;
}

/** A JSON value, said as it comes: whether it was one. Control characters in strings are escaped. */
export function* readValue(scene: Scene, say: (part: string) => void): Reading<boolean> {
  const { input } = scene;
  const scanner = new JsonScanner();
  for (;;) {
    const char = yield* input.peek();
    if (char === '') return false;
    const isInString = scanner.isInString;
    const scanned = scanner.feed(char);
    if (scanned === 'before') return true;
    if (scanned === 'bad') return false;
    const visible = input.take();
    // A control token within a value is not of it: at best it was cut in two.
    if (visible.length === 0) return false;
    say(isInString && char < ' ' ? escapeJson(char) : char);
    if (scanned === 'done') return true;
  }
}
