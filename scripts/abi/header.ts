/**
 * llama.h without a compiler: the two parameter structs with their offsets, the names of all
 * functions, and the values of enums. Pure. Offsets are those of LP64 and LLP64 with natural
 * alignment; what it does not understand it refuses by name instead of guessing a size.
 */

/** A field as the header declares it. */
export interface HeaderField {
  readonly name: string;
  /** Its type as written, without the name. */
  readonly type: string;
  readonly kind: 'integer' | 'float' | 'boolean' | 'enum' | 'pointer';
  readonly offset: number;
  readonly size: number;
}

/** A struct: its fields, and its size with the padding at its end. */
export interface HeaderStruct {
  readonly size: number;
  readonly fields: readonly HeaderField[];
}

/** What one llama.h says. */
export interface Header {
  readonly modelParams: HeaderStruct;
  readonly contextParams: HeaderStruct;
  /** Every function marked LLAMA_API with the number of its parameters, sorted by name. */
  readonly functions: ReadonlyMap<string, number>;
  /** Values of all enumerators. */
  readonly enumerators: ReadonlyMap<string, number>;
}

/** Something in the header that is not understood, named. */
export class HeaderError extends Error {}

type Shape = Pick<HeaderField, 'kind' | 'size'>;

const POINTER: Shape = { kind: 'pointer', size: 8 };

const SCALARS: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ...['bool', '_Bool'].map((name) => [name, { kind: 'boolean', size: 1 }] as const),
  ...['char', 'int8_t', 'uint8_t'].map((name) => [name, { kind: 'integer', size: 1 }] as const),
  ...['int16_t', 'uint16_t'].map((name) => [name, { kind: 'integer', size: 2 }] as const),
  ...['int', 'unsigned', 'unsigned int', 'int32_t', 'uint32_t'].map(
    (name) => [name, { kind: 'integer', size: 4 }] as const,
  ),
  ...['int64_t', 'uint64_t', 'size_t', 'ptrdiff_t', 'intptr_t', 'uintptr_t'].map(
    (name) => [name, { kind: 'integer', size: 8 }] as const,
  ),
  ['float', { kind: 'float', size: 4 }],
  ['double', { kind: 'float', size: 8 }],
]);

/** Pointer types that ggml's headers define, which are not read. */
const GGML_POINTERS = [
  'ggml_abort_callback',
  'ggml_backend_buffer_t',
  'ggml_backend_buffer_type_t',
  'ggml_backend_dev_t',
  'ggml_backend_eval_callback',
  'ggml_backend_sched_eval_callback',
  'ggml_backend_sched_t',
  'ggml_backend_t',
  'ggml_log_callback',
  'ggml_threadpool_t',
];

/** Comments and the insides of texts blanked; lines stay lines. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"/g, (found) =>
    found.startsWith('"') ? '""' : found.replace(/[^\n]/g, ' '),
  );
}

function withoutDirectives(text: string): string {
  return text.replace(/^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$/gm, '');
}

/** What `typedef` makes of names: callbacks and handles are pointers, the rest as the type it names. */
function readTypedefs(text: string): Map<string, Shape> {
  const types = new Map<string, Shape>(SCALARS);
  for (const name of GGML_POINTERS) types.set(name, POINTER);
  for (const [, name] of text.matchAll(/\btypedef\b[^;{}()]*\(\s*\*\s*(\w+)\s*\)\s*\(/g)) {
    if (name) types.set(name, POINTER);
  }
  for (const [, type, name] of text.matchAll(/\btypedef\b([^;{}()]*?[\s*])(\w+)\s*;/g)) {
    if (!type || !name) continue;
    const shape = shapeOf(type, types);
    if (shape) types.set(name, shape);
  }
  return types;
}

function shapeOf(written: string, types: ReadonlyMap<string, Shape>): Shape | null {
  if (written.includes('*')) return POINTER;
  const type = written
    .replace(/\b(const|volatile)\b/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  if (/^enum \w+$/.test(type)) return { kind: 'enum', size: 4 };
  return types.get(type) ?? null;
}

function bodyOf(text: string, struct: string): string {
  const found = new RegExp(`\\bstruct\\s+${struct}\\s*\\{([^{}]*)\\}`).exec(text);
  if (!found) throw new HeaderError(`no struct ${struct} in the header`);
  const body = found[1] ?? '';
  if (/^[ \t]*#/m.test(body)) throw new HeaderError(`struct ${struct} depends on the preprocessor`);
  return body;
}

function readStruct(text: string, struct: string, types: ReadonlyMap<string, Shape>): HeaderStruct {
  const fields: HeaderField[] = [];
  let end = 0;
  let alignment = 1;
  for (const declaration of bodyOf(text, struct).split(';')) {
    const written = declaration.replace(/\s+/g, ' ').trim();
    if (!written) continue;
    const { name, type, kind, size } = readField(written, struct, types);
    const offset = Math.ceil(end / size) * size;
    fields.push({ name, type, kind, size, offset });
    end = offset + size;
    alignment = Math.max(alignment, size);
  }
  if (fields.length === 0) throw new HeaderError(`struct ${struct} has no fields`);
  return { size: Math.ceil(end / alignment) * alignment, fields };
}

function readField(
  written: string,
  struct: string,
  types: ReadonlyMap<string, Shape>,
): Omit<HeaderField, 'offset'> {
  const callback = /^.*\(\s*\*\s*(\w+)\s*\)\s*\(.*\)$/.exec(written);
  if (callback?.[1]) return { name: callback[1], type: 'callback', ...POINTER };
  const plain = /^(.*[\s*])(\w+)$/.exec(written);
  if (!plain?.[1] || !plain[2] || /[[\]:,(){}]/.test(written)) {
    throw new HeaderError(`${struct}: not understood: ${written}`);
  }
  const shape = shapeOf(plain[1], types);
  const type = plain[1].replace(/\s+/g, ' ').trim();
  if (!shape) throw new HeaderError(`${struct}.${plain[2]} has the unknown type ${type}`);
  return { name: plain[2], type, ...shape };
}

/** How many parameters stand between the parenthesis at `open` and its partner. */
function countParameters(text: string, open: number): number {
  let depth = 0;
  let commas = 0;
  for (let at = open; at < text.length; at++) {
    const mark = text[at];
    if (mark === '(') depth += 1;
    else if (mark === ',' && depth === 1) commas += 1;
    else if (mark === ')' && --depth === 0) {
      const inside = text.slice(open + 1, at).trim();
      return inside === '' || inside === 'void' ? 0 : commas + 1;
    }
  }
  throw new HeaderError('a function without an end');
}

/** Names after LLAMA_API, with or without DEPRECATED(...) on either side of it. */
function readFunctions(text: string): Map<string, number> {
  const declared = /\bLLAMA_API\s+(?:DEPRECATED\s*\(\s*)?[^;(){}]*?(\w+)\s*\(/g;
  const found = [...text.matchAll(declared)].map(({ 0: whole, 1: name = '', index }) => {
    return [name, countParameters(text, index + whole.length - 1)] as const;
  });
  const marks = [...text.matchAll(/\bLLAMA_API\b/g)].length;
  if (found.length !== marks) {
    throw new HeaderError(`only ${found.length} of ${marks} functions are understood`);
  }
  if (marks === 0) throw new HeaderError('the header declares no LLAMA_API function');
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Enumerators with their values; one whose value is not understood is left out with what follows it. */
function readEnums(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const [, body] of text.matchAll(/\benum\s+\w*\s*\{([^{}]*)\}/g)) {
    let next: number | null = 0;
    for (const item of (body ?? '').split(',')) {
      const found = /^\s*(\w+)\s*(?:=\s*(.+?))?\s*$/s.exec(item);
      if (!found?.[1]) continue;
      const value: number | null = found[2] === undefined ? next : numberOf(found[2], values);
      if (value !== null) values.set(found[1], value);
      next = value === null ? null : value + 1;
    }
  }
  return values;
}

function numberOf(text: string, known: ReadonlyMap<string, number>): number | null {
  const shift = /^\(?\s*(\d+)\s*<<\s*(\d+)\s*\)?$/.exec(text);
  if (shift) return Number(shift[1]) * 2 ** Number(shift[2]);
  if (/^(-?\d+|0[xX][\da-fA-F]+)$/.test(text)) return Number(text);
  return known.get(text) ?? null;
}

/** Reads the text of a llama.h. Throws HeaderError with the name of what it does not understand. */
export function parseHeader(source: string): Header {
  const raw = withoutComments(source);
  const text = withoutDirectives(raw);
  const types = readTypedefs(text);
  // With its directives: a struct that has #if inside has two layouts.
  return {
    modelParams: readStruct(raw, 'llama_model_params', types),
    contextParams: readStruct(raw, 'llama_context_params', types),
    functions: readFunctions(text),
    enumerators: readEnums(text),
  };
}
