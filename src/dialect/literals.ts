/**
 * Reads values as Python and its relatives write them, strings in any quotes, and says their JSON as
 * they come. No thread of its own; it must never know what a value is for.
 */
import type { Reading } from './input.js';
import { escapeJson, isNumber } from './json-scan.js';
import { isText, type Kind } from './parameters.js';
import { Scene } from './scene.js';

/** Which types a value may have; null: any. */
export type Kinds = ReadonlySet<Kind> | null;

/** Quotes of tokens of their own: nothing is escaped between them. */
const TOKEN_QUOTES = ['<|"|>', '<escape>'];
const TRIPLE = ['"""', "'''"];
const QUOTES = [...TOKEN_QUOTES, ...TRIPLE, '"', "'"];
const WORD_ENDS = [',', ')', ']', '}', ':', '=', ' ', '\n', '\r', '\t'];
const MAX_WORD = 400;
const MAX_DEPTH = 64;
const WORDS: ReadonlyMap<string, string> = new Map([
  ['True', 'true'],
  ['true', 'true'],
  ['False', 'false'],
  ['false', 'false'],
  ['None', 'null'],
  ['null', 'null'],
]);
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['b', '\b'],
  ['f', '\f'],
  ['0', '\0'],
  ['\n', ''],
]);

/** Reads a value: whether it was one. */
export function* readLiteral(scene: Scene, kinds: Kinds, depth = 0): Reading<boolean> {
  const { input } = scene;
  if (depth > MAX_DEPTH) return false;
  const quote = yield* input.takeIf(...QUOTES);
  if (quote !== null) return yield* readQuoted(scene, quote, (text) => scene.argue(text));
  const char = yield* input.peek();
  if (char === '{') return yield* readMembers(scene, () => null, depth);
  if (char === '[' || char === '(') return yield* readList(scene, char === '[' ? ']' : ')', depth);
  const word = yield* input.before(WORD_ENDS, MAX_WORD);
  if (word === null) return false;
  const json = WORDS.get(word) ?? numberOf(word);
  if (json === null) return false;
  scene.argue(isText(kinds) && json === word ? JSON.stringify(word) : json);
  return true;
}

/** The JSON of a text that is one such value; null where it is none. */
export function literalJson(text: string): string | null {
  const scene = new Scene([]);
  scene.input.push({ text, control: false });
  scene.input.ended = true;
  const { value, done } = readLiteral(scene, null).next();
  if (done !== true || !value || scene.input.next !== '') return null;
  return scene
    .drain()
    .reduce((json, said) => json + (said.type === 'arguments' ? said.text : ''), '');
}

/** Reads `{` members `}`, keys bare or in quotes; `kindsOf` says the types of each. */
export function* readMembers(
  scene: Scene,
  kindsOf: (key: string) => Kinds,
  depth = 0,
): Reading<boolean> {
  const { input } = scene;
  input.take();
  scene.argue('{');
  for (let isFirst = true; ; isFirst = false) {
    yield* input.skipSpace();
    if ((yield* input.takeIf('}')) !== null) break;
    const key = yield* readKey(scene);
    if (key === null) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(':')) === null) return false;
    yield* input.skipSpace();
    scene.argue(`${isFirst ? '' : ', '}${JSON.stringify(key)}: `);
    if (!(yield* readLiteral(scene, kindsOf(key), depth + 1))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',')) === null && (yield* input.peek()) !== '}') return false;
  }
  scene.argue('}');
  return true;
}

function* readKey(scene: Scene): Reading<string | null> {
  const quote = yield* scene.input.takeIf(...QUOTES);
  if (quote === null) return (yield* scene.input.before([':', ',', '}'], MAX_WORD))?.trim() || null;
  let json = '';
  if (!(yield* readQuoted(scene, quote, (text) => (json += text)))) return null;
  const key: unknown = JSON.parse(json);
  return typeof key === 'string' ? key : null;
}

function* readList(scene: Scene, end: string, depth: number): Reading<boolean> {
  const { input } = scene;
  input.take();
  scene.argue('[');
  for (let isFirst = true; ; isFirst = false) {
    yield* input.skipSpace();
    if ((yield* input.takeIf(end)) !== null) break;
    if (!isFirst) scene.argue(', ');
    if (!(yield* readLiteral(scene, null, depth + 1))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',')) === null && (yield* input.peek()) !== end) return false;
  }
  scene.argue(']');
  return true;
}

/** The rest of a string after its opening quote, said as a JSON string. */
function* readQuoted(scene: Scene, quote: string, say: (json: string) => void): Reading<boolean> {
  const { input } = scene;
  say('"');
  for (;;) {
    if (TOKEN_QUOTES.includes(quote)) {
      const stop = yield* input.pass([quote], (spans) => {
        for (const span of spans) say(escapeJson(span.text));
      });
      if (stop === null) return false;
      input.take(stop.length);
      break;
    }
    if ((yield* input.takeIf(quote)) !== null) {
      if (quote !== "'" || (yield* endsHere(scene))) break;
      say("'");
      continue;
    }
    const char = yield* input.peek();
    if (char === '') return false;
    const isShown = input.take().length > 0;
    if (char === '\\') {
      const escaped = yield* readEscape(scene);
      if (escaped === null) return false;
      say(escapeJson(escaped));
    } else if (isShown) {
      say(escapeJson(char));
    }
  }
  say('"');
  return true;
}

/** Some models leave a quote within quotes as it is: one before a letter ends nothing. */
function* endsHere(scene: Scene): Reading<boolean> {
  const next = yield* scene.input.peek();
  return next === '' || WORD_ENDS.includes(next);
}

/** What an escape stands for, after its backslash; null where the answer ends in it. */
function* readEscape(scene: Scene): Reading<string | null> {
  const { input } = scene;
  const kind = yield* input.peek();
  if (kind === '') return null;
  input.take();
  const length = kind === 'u' ? 4 : kind === 'x' ? 2 : 0;
  if (length === 0) return ESCAPES.get(kind) ?? kind;
  let digits = '';
  while (digits.length < length) {
    const digit = yield* input.peek();
    if (!/^[0-9a-fA-F]$/.test(digit)) return `\\${kind}${digits}`;
    digits += digit;
    input.take();
  }
  return String.fromCharCode(Number.parseInt(digits, 16));
}

function numberOf(word: string): string | null {
  if (isNumber(word)) return word;
  const value = /^[-+]?[\d_]*\.?[\d_]+(?:[eE][-+]?\d+)?$|^[-+]?\d[\d_]*\.$/.test(word)
    ? Number(word.replaceAll('_', ''))
    : Number.NaN;
  return Number.isFinite(value) ? JSON.stringify(value) : null;
}
