/**
 * Reads the JSON body of a request within its limits. Runs in the server. It must never hold more
 * bytes than the limit, hand on a body that is too deep or has too many fields to be looked through at
 * once, nor repeat what a body said in an error.
 */
import { HoshikageError } from '../errors.js';

/** How deep a body may be nested: whatever walks through it may recurse. */
export const MAX_BODY_DEPTH = 256;
/** Each field of an object costs microseconds to check, and a body within its bytes could hold millions. */
export const MAX_BODY_FIELDS = 250_000;

/**
 * The parsed body. Codes: unsupported_media_type, body_too_large, invalid_json, invalid_value (too deep,
 * too many fields).
 */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  checkType(request);
  return parse(await readBytes(request, maxBytes));
}

/** The same for a body that may be left out: then it is `{}`. */
export async function readOptionalJson(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  if (bytes.byteLength === 0) return {};
  checkType(request);
  return parse(bytes);
}

function checkType(request: Request): void {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new HoshikageError('unsupported_media_type');
  }
}

function parse(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  checkForm(bytes);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HoshikageError('invalid_json', placeOf(cause, text));
  }
}

/**
 * With a length in the headers Node reads just as much, so comparing is enough and the server's fast
 * path stays; without one (chunked) the bytes are counted as they come.
 */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const declared = request.headers.get('content-length');
  if (declared !== null) {
    if (!(Number(declared) <= maxBytes)) throw tooLarge(maxBytes);
    return new Uint8Array(await request.arrayBuffer());
  }
  if (!request.body) return new Uint8Array();
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return Buffer.concat(parts);
      bytes += value.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      parts.push(value);
    }
  } finally {
    // The rest of a refused body is not wanted; there is nobody to tell if that fails too.
    reader.cancel().catch(() => {});
  }
}

const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Depth and fields, counted over the bytes: of what is no JSON either they say too much or nothing. */
function checkForm(bytes: Uint8Array): void {
  let depth = 0;
  let fields = 0;
  let inText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inText) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte === COLON) fields++;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (++depth > MAX_BODY_DEPTH) throw tooDeep();
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
  }
  if (fields > MAX_BODY_FIELDS) throw tooManyFields();
}

function tooDeep(): HoshikageError {
  return new HoshikageError('invalid_value', {
    param: 'body',
    reason: `it is nested more than ${MAX_BODY_DEPTH} deep`,
    reason_ja: `入れ子が ${MAX_BODY_DEPTH} 段を超えています`,
  });
}

function tooManyFields(): HoshikageError {
  return new HoshikageError('invalid_value', {
    param: 'body',
    reason: `its objects have more than ${MAX_BODY_FIELDS} fields altogether`,
    reason_ja: `オブジェクトの項目が全部で ${MAX_BODY_FIELDS} 個を超えています`,
  });
}

/** A text in another encoding would reach the model as a heap of U+FFFD, without a word. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const reason = { reason: 'the body is not UTF-8', reason_ja: '本文が UTF-8 ではありません' };
    throw new HoshikageError('invalid_json', reason, { cause });
  }
}

function tooLarge(limit: number): HoshikageError {
  return new HoshikageError('body_too_large', { limit });
}

/** Where the JSON breaks off. The parser's own words would quote the body, and so the log would. */
function placeOf(cause: unknown, text: string): { reason: string; reason_ja: string } {
  if (text.trim() === '') return { reason: 'the body is empty', reason_ja: '本文が空です' };
  const position = cause instanceof Error && /position (\d+)/.exec(cause.message)?.[1];
  if (!position) return { reason: 'syntax error', reason_ja: '構文が正しくありません' };
  return { reason: `syntax error at position ${position}`, reason_ja: `${position} 文字目` };
}
